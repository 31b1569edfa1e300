//! The report in a real browser: nothing overflows on a screen, a telephone and paper, no request leaves the file, and
//! the figures in the page are those of `report.json`.
//!
//! Without a Chromium the test says so and passes, but for continuous integration, where it fails. REPORT_SCREENSHOTS
//! names a folder for the pictures, for people to look at.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::chromium::Page;
use crate::common::{self, chromium, steps};

/// Things that stand out of the page or of their drawing, and labels of one drawing that overlap.
const FAULTS: &str = r#"(() => {
  const faults = [], root = document.documentElement, narrow = root.clientWidth < 500;
  if (root.scrollWidth > root.clientWidth) faults.push(`page ${root.scrollWidth} > ${root.clientWidth}`);
  for (const e of document.querySelectorAll('body *')) {
    // On a telephone nothing is beyond the edge, tables included: nobody looks for a column that is not there.
    const inside = e.closest(narrow ? 'svg, nav, script' : '.scroll, svg, nav, script');
    if (!inside && e.getBoundingClientRect().right > root.clientWidth + 1) faults.push(`out: ${e.tagName} ${e.textContent.slice(0, 40)}`);
  }
  for (const svg of document.querySelectorAll('figure svg')) {
    const box = svg.getBoundingClientRect(), labels = [...svg.querySelectorAll('text')];
    const place = labels.map(t => t.getBoundingClientRect());
    labels.forEach((t, i) => {
      const r = place[i];
      if (r.left < box.left - 2 || r.right > box.right + 2 || r.top < box.top - 2 || r.bottom > box.bottom + 2)
        faults.push(`label beyond its drawing: ${t.textContent}`);
      for (let j = 0; j < i; j++) {
        const o = place[j];
        const w = Math.min(r.right, o.right) - Math.max(r.left, o.left), h = Math.min(r.bottom, o.bottom) - Math.max(r.top, o.top);
        if (w > 2 && h > 4) faults.push(`labels overlap: ${t.textContent} / ${labels[j].textContent}`);
      }
    });
  }
  return faults;
})()"#;

/// How high the page of signatures is, and whether each number of a table stands behind its column's name.
const SIGN_OFF_HEIGHT: &str = "document.querySelector('#sign-off').offsetHeight";
const UNNAMED_CELLS: &str = "[...document.querySelectorAll('td')].filter(e => !e.dataset.label).length";
/// What is left of A4 within the margins of the page's style, in pixels of 1/96 of an inch.
const PAPER: u64 = (297 - 28) * 960 / 254;

const FIGURES: &str =
    "[...document.querySelectorAll('[data-path]')].map(e => [e.dataset.path, e.value, e.textContent])";

fn report(folder: &Path) -> PathBuf {
    steps::prepare(folder);
    common::succeed(folder, &steps::finetune("1", "f.safetensors", "head.safetensors"));
    common::succeed(folder, &steps::finetune("0.5", "f.safetensors", "second.safetensors"));
    common::succeed(
        folder,
        "--json audit --runs 800 --head head.safetensors --ledger budget --model lower.public.safetensors --output audit",
    );
    folder.join("audit")
}

#[test]
fn the_page_fits_asks_for_nothing_and_shows_the_figures_of_the_json() {
    let Some(browser) = chromium::find() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "continuous integration needs a Chromium; `make setup` installs it"
        );
        eprintln!("SKIPPED: there is no Chromium here, so nobody looked at the report's page");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let audit = match std::env::var_os("REPORT_FOLDER") {
        Some(given) => PathBuf::from(given).canonicalize().unwrap(),
        None => report(folder.path()),
    };
    let file = audit.join("report.html");
    let json: Value = serde_json::from_slice(&std::fs::read(audit.join("report.json")).unwrap()).unwrap();
    assert!(std::fs::metadata(&file).unwrap().len() < 500_000, "the page is too large to mail around");

    let mut page = Page::open(&browser);
    page.load(&file);
    assert_eq!(page.requests(), [format!("file://{}", file.display())], "no request leaves the file");
    figures_are_those_of(&json, page.evaluate(FIGURES));

    let views = [
        (1280, "screen", "light"),
        (1280, "screen", "dark"),
        (390, "screen", "light"),
        (680, "print", "light"),
    ];
    for (width, medium, colors) in views {
        page.show(width, medium, colors);
        let faults = page.evaluate(FAULTS);
        assert_eq!(faults, serde_json::json!([]), "{width} {medium} {colors}");
        assert_eq!(page.evaluate(UNNAMED_CELLS), 0, "{width} {medium} {colors}");
        if medium == "print" {
            let height = page.evaluate(SIGN_OFF_HEIGHT).as_u64().unwrap();
            assert!(height < PAPER, "digest, open points and signatures take {height} of {PAPER}");
        }
        let picture = page.screenshot(true);
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "the picture is empty");
        keep(&format!("{width}-{medium}-{colors}.png"), &picture);
    }
    page.show(1280, "", "light");
    let paper = page.print();
    assert!(paper.starts_with(b"%PDF"));
    keep("report.pdf", &paper);
}

/// Each figure carries the value of its field, and shows it rounded.
fn figures_are_those_of(json: &Value, figures: Value) {
    let figures = figures.as_array().unwrap();
    assert!(figures.len() > 40, "only {} figures", figures.len());
    for figure in figures {
        let [path, carried, shown] = [0, 1, 2].map(|i| figure[i].as_str().unwrap());
        let value = json.pointer(path).unwrap_or_else(|| panic!("there is no {path} in the JSON"));
        assert_eq!(serde_json::from_str::<Value>(carried).unwrap(), *value, "{path}");
        let value = value.as_f64().unwrap_or_else(|| panic!("{path} is no number"));
        let number: f64 =
            shown.replace([',', '%'], "").trim().parse().unwrap_or_else(|_| panic!("{path} shows {shown}"));
        let number = if shown.contains('%') { number / 100.0 } else { number };
        assert!(
            // Large figures are shown without decimals.
            (number - value).abs() <= (1.001e-3 + 0.01 * value.abs().min(1.0)).max(1e-4 * value.abs()),
            "{path}: {shown} for {value}"
        );
    }
}

fn keep(name: &str, bytes: &[u8]) {
    if let Some(folder) = std::env::var_os("REPORT_SCREENSHOTS") {
        std::fs::write(Path::new(&folder).join(name), bytes).unwrap();
    }
}
