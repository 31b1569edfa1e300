//! A server of one repository, in as much of the Hub's protocol as its client uses, that can be made to fail.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The commit that the branch `main` is at.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a client asked.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// In lower case.
    pub headers: String,
    /// Where the client wants a file to begin.
    pub start: usize,
    /// Whether it wants more than to know of the file.
    pub is_transfer: bool,
    /// How often the same was asked before.
    pub before: usize,
}

/// What it gets.
pub struct Answer {
    pub status: String,
    pub headers: String,
    pub body: Vec<u8>,
    /// After so many bytes of the body the connection ends.
    pub cut: Option<usize>,
    /// After that much the server says nothing more.
    pub hang: Option<usize>,
}

impl Answer {
    pub fn say(&mut self, status: &str, body: &str) {
        (self.status, self.headers, self.body) = (status.into(), String::new(), body.into());
    }
}

/// What was asked so far.
pub type Seen = Arc<Mutex<Vec<Request>>>;

/// Serves the files of `folder` as the repository `org/tiny` until the process ends, and tells where.
pub fn serve(folder: &Path) -> String {
    serve_altered(folder, |_, _| ()).0
}

/// The same with answers that `alter` spoils.
pub fn serve_altered(
    folder: &Path,
    alter: impl Fn(&Request, &mut Answer) + Send + Sync + 'static,
) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (folder, alter, seen) = (folder.to_owned(), Arc::new(alter), Seen::default());
    let of_server = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (folder, alter, seen) = (folder.clone(), alter.clone(), of_server.clone());
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let Some(request) = read(&stream, &seen) else { return };
                let mut answer = answer(&request, &folder);
                alter(&request, &mut answer);
                send(&mut stream, answer);
            });
        }
    });
    (address, seen)
}

fn read(stream: &TcpStream, seen: &Seen) -> Option<Request> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut headers, mut start, mut is_transfer) = (String::new(), 0, true);
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? <= 2 {
            break;
        }
        let line = line.to_lowercase();
        if let Some((first, last)) = line.strip_prefix("range: bytes=").and_then(|r| r.split_once('-')) {
            (start, is_transfer) = (first.parse().unwrap(), last.trim().is_empty());
        }
        headers.push_str(&line);
    }
    let mut seen = seen.lock().unwrap();
    let before = seen.iter().filter(|r| r.path == path && r.is_transfer == is_transfer).count();
    let request = Request { path, headers, start, is_transfer, before };
    seen.push(request.clone());
    Some(request)
}

fn answer(request: &Request, folder: &Path) -> Answer {
    let (status, headers, body) = if request.path == "/api/models/org/tiny/revision/main" {
        let files = files(folder, folder);
        let siblings: Vec<_> = files.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let info = serde_json::json!({ "siblings": siblings, "sha": COMMIT });
        ("200 OK", "content-type: application/json\r\n".to_owned(), info.to_string().into_bytes())
    } else if let Some(name) = request.path.strip_prefix(&format!("/org/tiny/resolve/{COMMIT}/")) {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let etag = cryptotl_model::Digest::of(&bytes);
        let range = format!("content-range: bytes {}-{}/{}\r\n", request.start, bytes.len() - 1, bytes.len());
        let etag = format!("etag: \"{etag}\"\r\nx-repo-commit: {COMMIT}\r\n");
        ("206 Partial Content", range + &etag, bytes[request.start..].to_vec())
    } else {
        ("404 Not Found", String::new(), Vec::new())
    };
    Answer { status: status.into(), headers, body, cut: None, hang: None }
}

fn send(stream: &mut TcpStream, answer: Answer) {
    let Answer { status, headers, body, cut, hang } = answer;
    if hang == Some(0) {
        return std::thread::sleep(Duration::from_secs(60));
    }
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let end = cut.or(hang).unwrap_or(body.len()).min(body.len());
    // A client that wanted the headers alone may be gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..end]));
    if hang.is_some() {
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn files(root: &Path, folder: &Path) -> Vec<String> {
    let entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    let of = |path: &PathBuf| match path.is_dir() {
        true => files(root, path),
        false => vec![path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()],
    };
    entries.iter().flat_map(of).collect()
}
