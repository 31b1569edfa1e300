#![no_main]

use cryptotl_fuzz::{ENCODER_FILES, TINY_ENCODER, with_file};
use cryptotl_trainer::encoder::Encoder;
use libfuzzer_sys::fuzz_target;

// The first byte chooses the file that the other bytes are.
fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let altered = ENCODER_FILES[usize::from(*first) % ENCODER_FILES.len()];
    with_file("unused", b"", |path| {
        let folder = path.parent().expect("it lies in a folder").join("encoder");
        for name in ENCODER_FILES {
            let to = folder.join(name);
            std::fs::create_dir_all(to.parent().expect("it has one")).expect("the folder is this process's");
            let is_written = match name == altered {
                true => std::fs::write(&to, bytes),
                false => std::fs::copy(std::path::Path::new(TINY_ENCODER).join(name), &to).map(drop),
            };
            is_written.expect("the folder is this process's");
        }
        if let Ok(encoder) = Encoder::load(&folder)
            && let Ok(embedded) = encoder.embed(&["a few words", ""], &|_| ())
        {
            assert_eq!(embedded.dim(), (2, encoder.width()));
        }
    });
});
