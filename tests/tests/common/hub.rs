//! A server of one repository, in as much of the Hub's protocol as its client uses.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

/// The commit that the branch `main` is at.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Serves the files of `folder` as the repository `org/tiny` until the process ends, and tells where.
pub fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &folder);
        }
    });
    address
}

fn answer(mut stream: TcpStream, folder: &Path) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    let (mut start, mut line) = (0, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
            start = range.split('-').next().unwrap().parse().unwrap();
        }
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap();
    let (status, headers, body) = if path == "/api/models/org/tiny/revision/main" {
        let files = files(folder, folder);
        let siblings: Vec<_> = files.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let info = serde_json::json!({ "siblings": siblings, "sha": COMMIT });
        ("200 OK", "content-type: application/json\r\n".to_owned(), info.to_string().into_bytes())
    } else if let Some(name) = path.strip_prefix(&format!("/org/tiny/resolve/{COMMIT}/")) {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let range = format!("content-range: bytes {start}-{}/{}\r\n", bytes.len() - 1, bytes.len());
        let etag = format!("etag: \"{}\"\r\nx-repo-commit: {COMMIT}\r\n", name.replace('/', "-"));
        ("206 Partial Content", range + &etag, bytes[start..].to_vec())
    } else {
        ("404 Not Found", String::new(), Vec::new())
    };
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // A client that wanted the headers alone may be gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

fn files(root: &Path, folder: &Path) -> Vec<String> {
    let entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    let of = |path: &PathBuf| match path.is_dir() {
        true => files(root, path),
        false => vec![path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()],
    };
    entries.iter().flat_map(of).collect()
}
