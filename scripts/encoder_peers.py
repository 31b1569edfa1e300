"""Measures another runtime on the work of `cryptotl bench encoder`, which starts this and compares.

usage: encoder_peers.py sentence-transformers|onnxruntime < REQUEST

REQUEST is a JSON object: {"folder", "texts", "repeats", "threads", "vectors"}. Prints one JSON object: {"version",
"seconds", "cpu_seconds"}, the least of the repeats, and writes the vectors to the file that "vectors" names, as little-endian
f32; or {"missing": WHY} where the runtime is not installed. Both runtimes see the texts sorted by length, 32 at a
time, and their time includes the tokenizer. Nothing is fetched from a network.
"""

import json
import os
import pathlib
import sys
import tempfile
import time


def sentence_transformers(request):
    import sentence_transformers
    import torch

    torch.set_num_threads(request["threads"])
    encoder = sentence_transformers.SentenceTransformer(request["folder"], device="cpu")
    version = f"{sentence_transformers.__version__} (torch {torch.__version__})"
    return version, lambda texts: encoder.encode(texts, batch_size=32, show_progress_bar=False)


def onnx_model(folder, work):
    """The folder's own ONNX model, or one that torch writes."""
    for name in ("onnx/model.onnx", "model.onnx"):
        if (folder / name).is_file():
            return folder / name
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()

    class States(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    example = torch.tensor([[5, 6, 7, 8, 9, 10]] * 2)
    axes = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("length", min=2, max=512)}
    path = work / "model.onnx"
    torch.onnx.export(
        States(),
        (example, torch.ones_like(example)),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["states"],
        dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        dynamo=True,
        verbose=False,
    )
    return path


def onnxruntime(request):
    import numpy
    import onnxruntime
    import tokenizers

    folder = pathlib.Path(request["folder"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    with tempfile.TemporaryDirectory() as work:
        model = onnx_model(folder, pathlib.Path(work))
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    tokenizer.enable_truncation(settings["max_seq_length"])
    pad = json.loads((folder / "config.json").read_text())["pad_token_id"]
    tokenizer.enable_padding(pad_id=pad)
    pooling = json.loads((folder / "1_Pooling/config.json").read_text())
    cls = pooling.get("pooling_mode_cls_token", pooling.get("pooling_mode") == "cls")
    names = {entry.name for entry in session.get_inputs()}

    def encode(texts):
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        vectors = [None] * len(texts)
        for start in range(0, len(texts), 32):
            batch = order[start : start + 32]
            encodings = tokenizer.encode_batch([texts[i] for i in batch])
            ids = numpy.array([e.ids for e in encodings], dtype=numpy.int64)
            mask = numpy.array([e.attention_mask for e in encodings], dtype=numpy.int64)
            inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
            states = session.run(None, {name: inputs[name] for name in names})[0]
            weights = mask[:, :, None].astype(numpy.float32)
            rows = states[:, 0] if cls else (states * weights).sum(1) / weights.sum(1)
            rows /= numpy.linalg.norm(rows, axis=1, keepdims=True)
            for i, row in zip(batch, rows):
                vectors[i] = row
        return numpy.stack(vectors)

    return onnxruntime.__version__, encode


RUNTIMES = {"sentence-transformers": sentence_transformers, "onnxruntime": onnxruntime}


def main(runtime):
    request = json.load(sys.stdin)
    # Libraries print what they like; the answer alone goes to stdout.
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        version, encode = RUNTIMES[runtime](request)
    except ImportError as error:
        print(json.dumps({"missing": f"not installed: {error.name}"}), file=stdout)
        return
    encode(request["texts"][:64])
    seconds, cpu_seconds = [], []
    for _ in range(request["repeats"]):
        start, cpu_start = time.perf_counter(), time.process_time()
        vectors = encode(request["texts"])
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    vectors.astype("<f4").tofile(request["vectors"])
    answer = {"version": version, "seconds": min(seconds), "cpu_seconds": min(cpu_seconds)}
    print(json.dumps(answer), file=stdout)


main(*sys.argv[1:])
