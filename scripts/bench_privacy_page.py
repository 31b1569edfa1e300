"""Tables of the private-heads benchmark: bench_privacy_page.py ROWS_FOLDER PAGE BAND.

Rewrites what lies between the markers of PAGE, and BAND: what `cryptotl plan` says about expected accuracy.
"""

import json
import pathlib
import re
import sys

FULL = "all"


def load(folder, pattern):
    rows = []
    for path in sorted(folder.glob(pattern)):
        for row in json.loads(path.read_text()):
            rows.append(row)
    largest = {}
    for row in rows:
        largest[row["target"]] = max(largest.get(row["target"], 0), row["n"])
    for row in rows:
        row["size"] = FULL if row["n"] == largest[row["target"]] else row["n"]
    return rows


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def pick(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def sizes(rows):
    found = {row["size"] for row in rows}
    return sorted((s for s in found if s != FULL)) + ([FULL] if FULL in found else [])


def epsilons(rows):
    return sorted({row["epsilon"] for row in rows if row["epsilon"] is not None})


def table(header, lines):
    out = ["| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |"]
    return "\n".join(out + ["| " + " | ".join(line) + " |" for line in lines])


def number(value):
    return f"{value:.3f}".replace("0.", ".", 1) if value < 1 else f"{value:.3f}"


def accuracy(rows):
    return number(mean(row["mean_accuracy"] for row in rows)) if rows else "-"


def method_tables(rows):
    order = ["auto", "dp-fc", "dp-gd", "dp-sgd", "objective-perturbation", "output-perturbation"]
    for size in sizes(pick(rows, method="auto")):
        lines = []
        for method in order:
            cells = [accuracy(pick(rows, method=method, size=size, epsilon=e)) for e in epsilons(rows)]
            lines.append([f"**{method}**" if method == "auto" else method] + cells)
        ceiling = accuracy(pick(rows, method="logistic-regression", size=size))
        floor = accuracy(pick(rows, method="zero-shot"))
        yield f"**n = {size}** (floor {floor}, ceiling {ceiling})"
        yield table(["method"] + [f"epsilon {e:g}" for e in epsilons(rows)], lines)


def floor_table(rows):
    """The smallest lead of auto over the zero-shot head in any target, in points."""
    floors = {row["target"]: row["mean_accuracy"] for row in pick(rows, method="zero-shot")}
    lines = []
    for size in sizes(pick(rows, method="auto")):
        cells = []
        for e in epsilons(rows):
            leads = [r["mean_accuracy"] - floors[r["target"]] for r in pick(rows, method="auto", size=size, epsilon=e)]
            cells.append(f"{100 * min(leads):+.1f}")
        lines.append([f"n = {size}"] + cells)
    return table(["smallest lead, points"] + [f"epsilon {e:g}" for e in epsilons(rows)], lines)


def target_table(rows):
    lines = []
    for target in sorted({row["target"] for row in rows}):
        own = pick(rows, target=target, size=FULL)
        cells = []
        for e in epsilons(rows):
            row = pick(own, method="auto", epsilon=e)[0]
            cells.append(f"{number(row['mean_accuracy'])} +- {number(row['std'])}")
        floor = accuracy(pick(rows, target=target, method="zero-shot"))
        ceiling = accuracy(pick(own, method="logistic-regression"))
        lines.append([target, str(own[0]["n"]), floor, ceiling] + cells)
    return table(["target", "n", "floor", "ceiling"] + [f"epsilon {e:g}" for e in epsilons(rows)], lines)


def inputs_table(rows):
    lines = []
    for size in sizes(pick(rows, method="auto")):
        for inputs in ["embedding", "embedding-and-features", "features"]:
            auto = pick(rows, method="auto", inputs=inputs, size=size)
            if not auto:
                continue
            cells = [accuracy(pick(auto, epsilon=e)) for e in epsilons(rows)]
            without = accuracy(pick(rows, method="logistic-regression", inputs=inputs, size=size))
            lines.append([str(size), inputs] + cells + [without])
    header = ["n", "inputs"] + [f"epsilon {e:g}" for e in epsilons(rows)]
    return table(header + ["its own records alone, no privacy"], lines)


def encoder_table(rows):
    lines = []
    for size in sizes(pick(rows, method="auto")):
        auto = pick(rows, method="auto", size=size)
        cells = [accuracy(pick(auto, epsilon=e)) for e in epsilons(rows)]
        floor = accuracy(pick(rows, method="zero-shot"))
        lines.append([str(size), floor] + cells + [accuracy(pick(rows, method="logistic-regression", size=size))])
    header = ["n", "floor"] + [f"epsilon {e:g}" for e in epsilons(rows)]
    return table(header + ["its own records alone, no privacy"], lines)


def time_table(rows):
    lines = []
    for method in ["dp-fc", "dp-gd", "dp-sgd", "objective-perturbation", "output-perturbation"]:
        own = [r for r in pick(rows, method=method, size=FULL) if r["fit_milliseconds"] is not None]
        if own:
            fastest = min(own, key=lambda r: r["fit_milliseconds"] / r["n"])
            lines.append([method, str(fastest["n"]), f"{fastest['fit_milliseconds']:.0f} ms"])
    return table(["method", "n", "shortest fit"], lines)


def band(rows):
    floors = {row["target"]: row["mean_accuracy"] for row in pick(rows, method="zero-shot")}
    out = []
    for size in sizes(pick(rows, method="auto")):
        for e in epsilons(rows):
            cell = pick(rows, method="auto", size=size, epsilon=e)
            values = [row["mean_accuracy"] for row in cell]
            out.append({
                "n": min(row["n"] for row in cell),
                "epsilon": e,
                "mean": round(mean(values), 3),
                "low": round(min(values), 3),
                "high": round(max(values), 3),
                "zero_shot": round(mean(floors.values()), 3),
            })
    return out


def main():
    folder, page, band_path = (pathlib.Path(argument) for argument in sys.argv[1:4])
    methods, inputs, one_source, encoder = (
        load(folder, f"*.{t}.json") for t in ("methods", "inputs", "one-source", "encoder")
    )
    parts = {
        "methods": "\n\n".join(method_tables(methods)),
        "floor": floor_table(methods),
        "targets": target_table(methods),
        "inputs": inputs_table(methods + inputs),
        "one-source": inputs_table(one_source),
        "one-source-floor": floor_table([row for row in one_source if row["inputs"] != "features"]),
        "time": time_table(methods),
    }
    if encoder:
        parts |= {"encoder": encoder_table(encoder), "encoder-floor": floor_table(encoder)}
    text = page.read_text()
    for name, content in parts.items():
        pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.S)
        assert pattern.search(text), name
        text = pattern.sub(lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text)
    page.write_text(text)
    rows = ",\n  ".join(json.dumps(row) for row in band(methods))
    band_path.write_text(f"[\n  {rows}\n]\n")


main()
