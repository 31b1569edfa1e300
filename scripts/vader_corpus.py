"""Turns the four rated corpora of Hutto and Gilbert (ICWSM 2014) into labelled tables.

usage: vader_corpus.py ARCHIVE FOLDER

Reads the source archive of vaderSentiment without running any of its code and writes
FOLDER/<set>.<train|test>.tsv with the columns id, label and text. A text is positive when its mean
rating is above 0 and negative when it is below; a mean of 0 is left out. A record belongs to the test
table when the first 8 bytes of sha256("<set>:<id>"), as a big-endian number, leave a remainder of 80
or more modulo 100: the split depends on nothing but the identifier.
"""

import hashlib
import html
import io
import pathlib
import sys
import tarfile
import zipfile

SETS = {
    "movie": "movieReviewSnippets_GroundTruth.txt",
    "amazon": "amazonReviewSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
    "nyt": "nytEditorialSnippets_GroundTruth.txt",
}
CORPORA = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"


def records(name, content):
    for line in content.splitlines():
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            text = line.decode("latin-1")
        fields = text.split("\t", 2)
        if len(fields) < 3 or float(fields[1]) == 0:
            continue
        identifier = f"{name}:{fields[0].strip()}"
        label = "positive" if float(fields[1]) > 0 else "negative"
        words = " ".join(html.unescape(fields[2]).split())
        digest = hashlib.sha256(identifier.encode()).hexdigest()
        split = "test" if int(digest[:16], 16) % 100 >= 80 else "train"
        yield split, identifier, label, words


def main(archive, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    corpora = io.BytesIO(zipfile.ZipFile(archive).read(CORPORA))
    with tarfile.open(fileobj=corpora) as members:
        for member in members:
            for name, file in SETS.items():
                if not member.name.endswith("/" + file):
                    continue
                tables = {"train": ["id\tlabel\ttext"], "test": ["id\tlabel\ttext"]}
                for split, *fields in records(name, members.extractfile(member).read()):
                    tables[split].append("\t".join(fields))
                for split, lines in tables.items():
                    table = folder / f"{name}.{split}.tsv"
                    table.write_text("\n".join(lines) + "\n", encoding="utf-8")


main(*sys.argv[1:])
