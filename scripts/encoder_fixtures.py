"""Writes small random encoders with the vectors that sentence-transformers gives for some texts.

usage: encoder_fixtures.py FOLDER      (the project's: crates/trainer/tests/encoders)

Each encoder is a sentence-transformers folder of its own, with `vectors.json` beside its files:
{"texts": [...], "vectors": [[...], ...]}. Needs sentence-transformers, which the project itself does not; written
with torch 2.15.0, transformers 5.24.0 and sentence-transformers 6.2.0.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    MPNetConfig,
    MPNetForMaskedLM,
    MPNetModel,
    PreTrainedTokenizerFast,
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


def main(root):
    for make in (bert_cls, bert_pooling, mpnet):
        torch.manual_seed(20)
        folder = pathlib.Path(root) / make.__name__.replace("_", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as work:
            encoder = make(folder, pathlib.Path(work)).eval()
        rows = [encoder.encode([text], convert_to_tensor=True)[0].double().tolist() for text in TEXTS]
        vectors = [[float(f"{x:.8g}") for x in row] for row in rows]
        (folder / "vectors.json").write_text(json.dumps({"texts": TEXTS, "vectors": vectors}))
        for unused in ("README.md", "2_Normalize/config.json", "0_Transformer/README.md"):
            (folder / unused).unlink(missing_ok=True)
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)


main(*sys.argv[1:])
