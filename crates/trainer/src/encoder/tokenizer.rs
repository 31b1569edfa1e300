//! From text to token ids: the tokenizer that `tokenizer.json` describes, or BERT's over the words of
//! `vocab.txt`.

use serde_json::{Map, Value};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::{BertNormalizer, Lowercase, NormalizerWrapper, Sequence};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Model, Tokenizer, TruncationParams};

use super::config::{Family, Refusal};
use super::folder::TextRules;

/// The tokenizers of the transformers library that `vocab.txt` and `tokenizer_config.json` describe wholly.
const OF_BERT: [&str; 4] =
    ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast"];
/// How a folder gets a `tokenizer.json`.
const CONVERT: &str = "make its tokenizer.json, in Python: \
    transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)";

/// Makes a tokenizer ready for an encoder of a vocabulary of `n_words`.
///
/// # Errors
/// In words.
pub(super) fn ready(mut tokenizer: Tokenizer, text: &TextRules, n_words: usize) -> Result<Tokenizer, String> {
    let truncation = TruncationParams { max_length: text.max_tokens, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(|e| format!("tokenizer.json: {e}"))?;
    tokenizer.with_padding(None);
    if text.lower_case {
        // Before the tokenizer's own rules and after special tokens were told apart, as the library does.
        let rules = [Some(Lowercase.into()), tokenizer.get_normalizer().cloned()];
        let rules: Vec<NormalizerWrapper> = rules.into_iter().flatten().collect();
        tokenizer.with_normalizer(Some(Sequence::new(rules)));
    }
    let vocabulary = tokenizer.get_vocab(true);
    if let Some(id) = vocabulary.values().find(|&&id| id as usize >= n_words) {
        return Err(format!("its tokenizer has a token {id}, above its vocabulary"));
    }
    // A matrix of one row, such as a text of one token, is multiplied in another order than more rows.
    if tokenizer.encode_fast("", true).map_or(0, |encoding| encoding.len()) < 2 {
        return Err("its tokenizer does not mark both start and end of a text".into());
    }
    Ok(tokenizer)
}

/// BERT's tokenizer, as `BertTokenizer` of the transformers library builds it.
///
/// # Errors
/// In words: another tokenizer is configured, or the vocabulary lacks a special token.
pub(super) fn of_vocabulary(
    vocabulary: &[u8],
    config: &Map<String, Value>,
    family: Family,
) -> Result<Tokenizer, Refusal> {
    check_is_of_bert(config, family)?;
    let damaged = |fact: String| (fact, "fetch the encoder again".to_owned());
    let special = |name: &str, default: &str| {
        let named = config.get(name).map(|token| token.get("content").unwrap_or(token));
        named.and_then(Value::as_str).unwrap_or(default).to_owned()
    };
    let words = WordPiece::read_bytes(vocabulary).map_err(|e| damaged(format!("vocab.txt: {e}")))?;
    let unknown = special("unk_token", "[UNK]");
    let model = WordPiece::builder()
        .vocab(words)
        .unk_token(unknown.clone())
        .build()
        .map_err(|e| damaged(format!("vocab.txt: {e}")))?;
    let id = |token: &str| {
        model.token_to_id(token).ok_or_else(|| damaged(format!("its vocab.txt has no `{token}`")))
    };
    let (start, end) = (special("cls_token", "[CLS]"), special("sep_token", "[SEP]"));
    let ends = BertProcessing::new((end.clone(), id(&end)?), (start.clone(), id(&start)?));
    let mut tokens =
        vec![unknown, end, special("pad_token", "[PAD]"), start, special("mask_token", "[MASK]")];
    for token in &tokens {
        id(token)?;
    }
    tokens.dedup();
    let flag = |name: &str| config.get(name).and_then(Value::as_bool);
    let normalizer = BertNormalizer::new(
        true,
        flag("tokenize_chinese_chars").unwrap_or(true),
        flag("strip_accents"),
        flag("do_lower_case").unwrap_or(true),
    );
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(normalizer));
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(ends));
    let tokens: Vec<AddedToken> = tokens.into_iter().map(|token| AddedToken::from(token, true)).collect();
    tokenizer.add_special_tokens(&tokens);
    Ok(tokenizer)
}

/// Refuses tokenizers that have a `vocab.txt` and do more than BERT's, or something else.
fn check_is_of_bert(config: &Map<String, Value>, family: Family) -> Result<(), Refusal> {
    let refuse = |fact: String| Err((fact, CONVERT.to_owned()));
    if !matches!(family, Family::Bert | Family::DistilBert) {
        return refuse("it has no tokenizer.json".to_owned());
    }
    match config.get("tokenizer_class").and_then(Value::as_str) {
        Some(class) if !OF_BERT.contains(&class) => {
            let class: String = class.chars().take(80).collect();
            return refuse(format!("it has no tokenizer.json, and its tokenizer is `{class}`"));
        }
        _ => {}
    }
    if config.get("do_basic_tokenize") == Some(&Value::Bool(false)) {
        return refuse("it has no tokenizer.json, and wants `do_basic_tokenize` off".to_owned());
    }
    let special = ["unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
    let content = |token: &Value| token.get("content").unwrap_or(token).as_str().map(str::to_owned);
    let named: Vec<String> = special.iter().filter_map(|name| content(config.get(*name)?)).collect();
    let added = config.get("added_tokens_decoder").and_then(Value::as_object);
    let more = added.into_iter().flat_map(Map::values).filter_map(content).find(|token| {
        !named.contains(token) && !["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"].contains(&token.as_str())
    });
    match more {
        Some(_) => refuse("it has no tokenizer.json, and tokens beside its vocab.txt".to_owned()),
        None => Ok(()),
    }
}
