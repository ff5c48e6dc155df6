"""Makes tokens.json: texts of many kinds and what the reference tokenizer makes of them, with CLIP's own vocabulary.

    make setup-tests             (fetches the vocabulary)
    python -m pip install -r requirements.txt && python make_tokens.py [open_clip's tokenizer.py]

The reference is transformers' CLIPTokenizer, which is what a model's tokenizer.json stands for: NFC, each run of white
space to one space, lower case, then the merges. It does not clean. OpenAI's code and open_clip's do, before anything else:
ftfy mends mis-decoded text ("donâ€™t"), and HTML entities are unescaped, twice, so that "&amp;#39;" is an apostrophe to
them and seven tokens here. Whoever has such texts cleans them before.

With open_clip's tokenizer.py (from its wheel) as the argument, the ids are compared with that implementation, too, its
cleaning replaced by NFC, white space and lower case. It differs, and should, where a text has
- a final sigma: Python lower-cases by context, transformers each character by itself;
- U+001C to U+001F: white space to Python alone;
- the special tokens themselves, which have other names there and are cut up in any other case here;
- letters of the latest Unicode, and U+0345, which ignores case into a letter: the regular expressions' tables differ.
"""

import gzip
import hashlib
import importlib.util
import json
import platform
import sys
import types
import unicodedata
from pathlib import Path

import tokenizers
import transformers
from transformers import CLIPTokenizer

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
from training import bpe  # noqa: E402
from token_texts import texts  # noqa: E402

VOCABULARY = HERE.parents[1] / "target/setup/clip-vocabulary/bpe_simple_vocab_16e6.txt.gz"
CONTEXT, SIZE = 77, 49408


def clip_merges() -> list[bpe.Merge]:
    """The first line is a header, and CLIP uses not nearly all that follow."""
    lines = gzip.decompress(VOCABULARY.read_bytes()).decode().split("\n")
    return [tuple(line.split()) for line in lines[1 : bpe.room_for_merges(SIZE) + 1]]


def older_export(tokenizer: CLIPTokenizer) -> tokenizers.Tokenizer:
    """With `normalized` special tokens, as older exports have them: they are found in any case."""
    file = json.loads(tokenizer.backend_tokenizer.to_str())
    for token in file["added_tokens"]:
        token["normalized"] = True
    return tokenizers.Tokenizer.from_str(json.dumps(file))


def lengths(count) -> list[str]:
    """Texts with so many tokens, start and end included: around the context length, and far more."""
    exact = []
    for unit in [" cat", "Cats' ", "猫", "😀 ", "e\u0301a ", "zqxj", "7"]:
        for wanted in [3, 40, *range(70, 85), 100]:
            text = ""
            while count(text + unit) <= wanted:
                text += unit
            exact.append(text + " a" * (wanted - count(text)))
            assert count(exact[-1]) == wanted, (unit, wanted)
    units = ["word ", "a photo of a dog, ", "x", "ab", "supercalifragilistic", "9", "!?", "猫", "ß", "🇩🇪", "e\u0301", "' s", "a\n", "<|endoftext|>"]
    return exact + [unit * 130 for unit in units] + ["the night sky " * 400, "pneumono" * 300, "Ab1" * 300]


def compare(path: str, groups: dict[str, list[str]], encode):
    """Counts the texts for which open_clip's implementation has the same ids."""
    sys.modules["ftfy"] = types.ModuleType("ftfy")
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    other = module.SimpleTokenizer(str(VOCABULARY))
    other.clean_fn = lambda text: module.whitespace_clean(unicodedata.normalize("NFC", text)).lower()
    for kind, group in groups.items():
        different = [text for text in group if encode(text)[1:-1] != other.encode(text)]
        print(f"{kind}: {len(group) - len(different)} of {len(group)} as open_clip", *(ascii(text[:40]) for text in different[:6]))


def main():
    tokenizer = bpe.make_tokenizer(clip_merges(), CONTEXT)
    encode = lambda text: tokenizer(text)["input_ids"]
    assert len(tokenizer) == SIZE
    assert encode("a photo of a cat") == [49406, 320, 1125, 539, 320, 2368, 49407]

    groups = texts() | {"lengths": lengths(lambda text: len(encode(text)))}
    older = older_export(tokenizer)
    seen, lines, other = set(), {}, []
    for kind, group in groups.items():
        lines[kind] = []
        for text in group:
            if text in seen:
                continue
            seen.add(text)
            ids, cut = encode(text), tokenizer(text, truncation=True, max_length=CONTEXT)["input_ids"]
            lines[kind].append([text, ids] if cut == ids else [text, ids, cut])
            if older.encode(text).ids != ids:
                other.append([text, older.encode(text).ids])
    versions = dict(python=platform.python_version(), transformers=transformers.__version__, tokenizers=tokenizers.__version__,
                    vocabulary=f"sha256 {hashlib.sha256(VOCABULARY.read_bytes()).hexdigest()}")
    rows = lambda entries: "[\n" + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries) + "\n]"
    kinds = ",\n".join(f"{json.dumps(kind)}: {rows(entries)}" for kind, entries in lines.items())
    # tokenizer.json as transformers writes it, but for what stands in the vocabulary's own file.
    frame = json.loads(tokenizer.backend_tokenizer.to_str())
    del frame["model"]["vocab"], frame["model"]["merges"]
    (HERE / "tokens.json").write_text(
        f'{{"made_with": {json.dumps(versions)},\n"tokenizer": {json.dumps(frame)},\n"texts": {{\n{kinds}\n}},\n'
        f'"normalized_special_tokens": {rows(other)}}}\n')
    print(len(seen), "texts,", sum(len(e) > 2 for g in lines.values() for e in g), "cut,", len(other), "others by an older export,",
          (HERE / "tokens.json").stat().st_size, "bytes")
    if len(sys.argv) > 1:
        compare(sys.argv[1], groups, encode)


if __name__ == "__main__":
    main()
