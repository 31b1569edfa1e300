#![no_main]

use std::sync::LazyLock;

use cryptotl_fuzz::{TINY_ENCODER, with_file};
use cryptotl_trainer::encoder::Encoder;
use cryptotl_trainer::encoder::cache::EmbeddingCache;
use libfuzzer_sys::fuzz_target;

static ENCODER: LazyLock<Encoder> =
    LazyLock::new(|| Encoder::load(TINY_ENCODER.as_ref()).expect("it is a real encoder"));

fuzz_target!(|bytes: &[u8]| {
    with_file("unused", b"", |path| {
        let folder = path.parent().expect("it lies in a folder").join("cache");
        drop(EmbeddingCache::open(&folder, &ENCODER).expect("it is made"));
        let entries = std::fs::read_dir(&folder).expect("it is there").flatten().map(|entry| entry.path());
        let file =
            entries.filter(|path| path.extension().is_some()).next().expect("it has its encoder's file");
        // The header stays: no fuzzer finds the digest.
        let mut content = std::fs::read(&file).expect("it is there");
        content.extend(bytes);
        std::fs::write(&file, content).expect("it is this process's");
        if let Ok(mut cache) = EmbeddingCache::open(&folder, &ENCODER) {
            let texts = ["a few words"];
            let (found, _) = cache.embed(&ENCODER, &texts, &|_| ()).expect("it embeds");
            assert_eq!(found, ENCODER.embed(&texts, &|_| ()).expect("it embeds"));
        }
    });
});
