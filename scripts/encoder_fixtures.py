"""Writes small random encoders with the vectors that sentence-transformers gives for some texts.

usage: encoder_fixtures.py FOLDER      (the project's: crates/trainer/tests/encoders)

Each encoder is a sentence-transformers folder of its own, with `vectors.json` beside its files:
{"texts": [...], "vectors": [[...], ...]}. `bert-vocabulary/tokens.json` has the token ids that the transformers library
gives for these texts, for each of several tokenizer_config.json beside the same vocab.txt:
[{"configuration": {...}, "ids": [[...], ...]}, ...].

Needs sentence-transformers, which the project itself does not; written with torch 2.15.0, transformers 5.24.0 and
sentence-transformers 6.2.0.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertModel,
    MPNetConfig,
    MPNetForMaskedLM,
    MPNetModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

WORDS = "the a cat dog sat on mat run ##s ##ning e ##a cafe . , ! ?".split()
TEXTS = [
    "the cat sat on the mat.",
    "The CAT, runs!",
    "a dog",
    "",
    "   ",
    "caf\u00e9 \U0001f600",
    "unknown words only",
    "[PAD] the <pad> cat <mask> [SEP]",
    "the cat sat on a mat . " * 12,
    "a dog runs , " * 60,
    "\u0410\u0431\u0432 \u4e2d\u6587 e\u0301 cat\tdog\ncat",
]


def tokenizer(special, pieces, lowercase, length):
    vocabulary = {word: i for i, word in enumerate(special + pieces)}
    tokens = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokens.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokens.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    start, end = (special[0], special[2]) if special[0] == "<s>" else ("[CLS]", "[SEP]")
    ids = [(word, vocabulary[word]) for word in (start, end)]
    tokens.post_processor = processors.TemplateProcessing(single=f"{start} $A {end}", special_tokens=ids)
    names = {"unk_token": "[UNK]", "cls_token": start, "sep_token": end}
    names |= {"pad_token": special[1] if start == "<s>" else "[PAD]", "mask_token": special[-1]}
    return PreTrainedTokenizerFast(tokenizer_object=tokens, model_max_length=length, **names)


def randomized(model):
    """Weights large enough that every part of the network shows in the vectors."""
    with torch.no_grad():
        for name, weights in model.named_parameters():
            spread = 0.5 if weights.dim() > 1 else 0.2
            center = 1.0 if name.endswith("LayerNorm.weight") else 0.0
            weights.copy_(center + spread * torch.randn_like(weights))
    return model.eval()


def byte_level_bpe(length):
    """The tokenizer of RoBERTa, with a few merges."""
    special = "<s> <pad> </s> <unk> <mask>".split()
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = "t h,th e,\u0120 the,c a,ca t,\u0120 cat,\u0120 a,o g,d og,\u0120 dog".split(",")
    merges = [tuple(merge.split()) for merge in merges]
    vocabulary = {word: i for i, word in enumerate(special[:-1] + pieces + ["".join(merge) for merge in merges])}
    vocabulary[special[-1]] = len(vocabulary)
    tokens = Tokenizer(models.BPE(vocabulary, merges))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    tokens.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = dict(zip("cls_token pad_token sep_token unk_token mask_token".split(), special))
    return PreTrainedTokenizerFast(tokenizer_object=tokens, model_max_length=length, **names), len(vocabulary)


def unigram(length):
    """The tokenizer of XLM-R, with a few pieces."""
    special = "<s> <pad> </s> <unk>".split()
    pieces = [word if len(word) == 1 else "\u2581" + word.strip("#") for word in WORDS] + list("abcdeghinorstun\u4e2d\u2581")
    pieces = list(dict.fromkeys(pieces))
    scored = [(word, 0.0) for word in special] + [(word, -1.0 - i / 8) for i, word in enumerate(pieces)]
    tokens = Tokenizer(models.Unigram(scored, unk_id=3))
    tokens.normalizer = normalizers.NFKC()
    tokens.pre_tokenizer = pre_tokenizers.Metaspace()
    ends = [("<s>", 0), ("</s>", 2)]
    tokens.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    names = dict(zip("cls_token pad_token sep_token unk_token".split(), special))
    names |= {"mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokens, model_max_length=length, **names), len(scored) + 1


def shape(config, n_words, positions):
    return config(
        vocab_size=n_words,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=positions,
    )


BERT = "[PAD] [UNK] [CLS] [SEP] [MASK]".split()
MPNET = "<s> <pad> </s> [UNK] <mask>".split()


def bert_cls(folder, work):
    """The layout of sentence-transformers 6, CLS pooling, weights in half precision."""
    model = randomized(BertModel(shape(BertConfig, len(BERT + WORDS), 40)))
    for weights in model.parameters():
        weights.data = weights.data.half().float()
    tokenizer(BERT, WORDS, True, 40).save_pretrained(work)
    model.save_pretrained(work)
    transformer = modules.Transformer(str(work), max_seq_length=20)
    encoder = SentenceTransformer(modules=[transformer, modules.Pooling(16, pooling_mode="cls"), modules.Normalize()])
    encoder.save(str(folder))
    model.half().save_pretrained(work)
    shutil.copy(work / "model.safetensors", folder / "model.safetensors")
    return encoder


def bert_pooling(folder, work):
    """The layout of older versions: a folder for the transformer, a PyTorch pickle, all ways of pooling at once,
    lower case by the library, a prompt in front of every text."""
    model = randomized(BertModel(shape(BertConfig, len(BERT + WORDS), 24)))
    transformer = folder / "0_Transformer"
    tokenizer(BERT, WORDS, False, 512).save_pretrained(transformer)
    model.save_pretrained(transformer)
    (transformer / "sentence_bert_config.json").write_text('{"max_seq_length": null, "do_lower_case": true}')
    modes = "cls_token max_tokens mean_tokens mean_sqrt_len_tokens weightedmean_tokens lasttoken".split()
    pooling = {"word_embedding_dimension": 16} | {f"pooling_mode_{mode}": True for mode in modes}
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    listed = [("0_Transformer", "Transformer"), ("1_Pooling", "Pooling")]
    entries = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(listed)
    ]
    (folder / "modules.json").write_text(json.dumps(entries))
    prompts = {"prompts": {"passage": "the "}, "default_prompt_name": "passage"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    encoder = SentenceTransformer(str(folder))
    torch.save(model.state_dict(), transformer / "pytorch_model.bin")
    (transformer / "model.safetensors").unlink()
    return encoder


def mpnet(folder, work):
    """MPNet with mean pooling, saved with the head of its pretraining; long enough for all buckets."""
    config = shape(MPNetConfig, len(MPNET + WORDS), 202)
    model = randomized(MPNetForMaskedLM(config))
    tokenizer(MPNET, WORDS, True, 200).save_pretrained(work)
    MPNetModel(config).save_pretrained(work)
    transformer = modules.Transformer(str(work))
    transformer.auto_model.load_state_dict(model.mpnet.state_dict(), strict=False)
    encoder = SentenceTransformer(modules=[transformer, modules.Pooling(16), modules.Normalize()])
    encoder.save(str(folder))
    model.save_pretrained(work)
    shutil.copy(work / "model.safetensors", folder / "model.safetensors")
    return encoder


def bert_vocabulary(folder, work):
    """What the transformers library alone writes: no modules.json, and `vocab.txt` in place of `tokenizer.json`; with
    the names of layer norms that the first published weights have."""
    model = randomized(BertModel(shape(BertConfig, len(BERT + WORDS), 40)))
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in weights.items()
    }
    (folder / "vocab.txt").write_text("\n".join(BERT + WORDS) + "\n")
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": 30}
    variants = [{"do_lower_case": case} for case in (True, False)]
    variants += [{"do_lower_case": case, "strip_accents": not case} for case in (True, False)]
    variants += [{"tokenize_chinese_chars": False}, {"do_lower_case": False, "tokenize_chinese_chars": True}]
    variants += [{"cls_token": "[SEP]", "sep_token": {"content": "[CLS]", "__type": "AddedToken"}}, {}]
    rows = []
    for variant in variants:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings | variant))
        tokens = AutoTokenizer.from_pretrained(folder)
        ids = [tokens(text, truncation=True, max_length=30)["input_ids"] for text in TEXTS]
        rows.append({"configuration": settings | variant, "ids": ids})
    (folder / "tokens.json").write_text(json.dumps(rows))
    settings |= {"do_lower_case": False, "strip_accents": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    encoder = SentenceTransformer(str(folder))
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    return encoder


def distilbert_dense(folder, work):
    """DistilBERT, saved with the head of its pretraining, and linear layers behind the pooling."""
    config = DistilBertConfig(
        vocab_size=len(BERT + WORDS), dim=16, hidden_dim=24, n_layers=2, n_heads=2, max_position_embeddings=40
    )
    model = randomized(DistilBertForMaskedLM(config))
    tokenizer(BERT, WORDS, True, 40).save_pretrained(work)
    DistilBertModel(config).save_pretrained(work)
    transformer = modules.Transformer(str(work))
    transformer.auto_model.load_state_dict(model.distilbert.state_dict(), strict=False)
    layers = [
        randomized(modules.Dense(16, 8)),
        randomized(modules.Dense(8, 6, bias=False, activation_function=torch.nn.Identity())),
    ]
    encoder = SentenceTransformer(modules=[transformer, modules.Pooling(16), *layers, modules.Normalize()])
    encoder.save(str(folder))
    torch.save(layers[1].state_dict(), folder / "3_Dense/pytorch_model.bin")
    (folder / "3_Dense/model.safetensors").unlink()
    model.save_pretrained(work)
    shutil.copy(work / "model.safetensors", folder / "model.safetensors")
    return encoder


def roberta_shards(folder, work):
    """RoBERTa, its weights in several files."""
    tokens, n_words = byte_level_bpe(38)
    model = randomized(RobertaModel(shape(RobertaConfig, n_words, 40)))
    tokens.save_pretrained(work)
    model.save_pretrained(work)
    transformer = modules.Transformer(str(work))
    encoder = SentenceTransformer(modules=[transformer, modules.Pooling(16), modules.Normalize()])
    encoder.save(str(folder))
    model.save_pretrained(work / "shards", max_shard_size="10KB")
    (folder / "model.safetensors").unlink()
    for path in (work / "shards").glob("model*"):
        shutil.copy(path, folder / path.name)
    return encoder


def xlm_roberta(folder, work):
    tokens, n_words = unigram(62)
    config = shape(XLMRobertaConfig, n_words, 64)
    config.type_vocab_size = 1
    model = randomized(XLMRobertaModel(config))
    tokens.save_pretrained(work)
    model.save_pretrained(work)
    transformer = modules.Transformer(str(work))
    encoder = SentenceTransformer(modules=[transformer, modules.Pooling(16, pooling_mode="cls"), modules.Normalize()])
    encoder.save(str(folder))
    return encoder


def main(root):
    for make in (bert_cls, bert_pooling, bert_vocabulary, distilbert_dense, mpnet, roberta_shards, xlm_roberta):
        torch.manual_seed(20)
        folder = pathlib.Path(root) / make.__name__.replace("_", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as work:
            encoder = make(folder, pathlib.Path(work)).eval()
        rows = [encoder.encode([text], convert_to_tensor=True)[0].double().tolist() for text in TEXTS]
        vectors = [[float(f"{x:.8g}") for x in row] for row in rows]
        (folder / "vectors.json").write_text(json.dumps({"texts": TEXTS, "vectors": vectors}))
        for unused in ("README.md", "2_Normalize/config.json", "4_Normalize/config.json", "0_Transformer/README.md"):
            (folder / unused).unlink(missing_ok=True)
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)


main(*sys.argv[1:])
