#![no_main]

use cryptotl_fuzz::with_file;
use cryptotl_privacy::Ledger;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    with_file("people.ledger", bytes, |path| {
        if let Ok(ledger) = Ledger::open(path) {
            let _ = ledger.status();
        }
    });
});
