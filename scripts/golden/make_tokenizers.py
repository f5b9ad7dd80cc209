"""Writes tests/testing/golden/tokenizers/: small tokenizers, and what Hugging Face's `tokenizers` makes of texts.

    scripts/golden/make_tokenizers.py

Needs: pip install tokenizers (0.23.3 made the files in the repository).
"""
import hashlib
import json
import random
import struct
import unicodedata
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/testing/golden/tokenizers"

PHRASES = [
    "The quick brown fox can't jump; it's we'll they'd I'm you've we're 'tis O'Neill's 'S 'LL.",
    "naïve café Ångström Straße İstanbul ŒUVRE ǅ ﬁ Ⅷ ½ ² ٣ ൬ 𝟘𝟙 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "Ελληνικά ΣΊΣΥΦΟΣ άέήίόύώ Кириллица Ёлка йод",
    "漢字かな交じり文 カタカナ ﾊﾝｶｸ 한국어 조선말 각 繁體中文，標點。「引」 𠀀𪛖",
    "עברית שָׁלוֹם العربية مُحَمَّد \u202bRTL\u202c \u200fمرحبا\u200e",
    "हिन्दी क्षत्रिय தமிழ் ไทย ภาษาไทย မြန်မာ ខ្មែរ བོད་ཡིག",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷 ☺️ 1️⃣ 😀😃",
    "e\u0301 a\u0308\u0323 q\u0307\u0323 \u0301x \u1100\u1161\u11a8 \U0001d15e \u302e\u302f a\u0903\u0301\u093e",
    "tab\tnew\nline\r\nreturn\x0bvt\x0cff\x85nel\xa0nbsp\u1680\u2003em\u2028ls\u2029ps\u3000ideo\u180emvs\ufeffbom",
    "  two  spaces   three\n\n\nlines \n mixed\t \n  end  ", " ", "   ", "\n", "a", "", " a", "a ",
    "\x00nul\x01soh\x7fdel\x80\x9f \ufffd \ufffe \uffff \ue000 \U000f0000 \U0010ffff \u0378",
    "a=b+c<d>e^f`g|h~i$j !\"#%&'()*,-./:;?@[\\]_{} ¡¿§¶ «»‹›—–…‰ ₤€¥ ∑∫≠ ©®™ ➜",
    "x" * 130 + " " + "ab" * 60 + " " + "e\u0301" * 60, "1234567890" * 12 + "a1b2c3 3.14 1,000 1e-5 ٠١٢",
    "def f(x):\n    return x  # comment\n\tif y:\n\t\tpass\n", "do not don't can ' t we 've . , ? !",
    "<|endoftext|>", "a<|endoftext|>b <|endoftext|> c", "a  <mask>  b<mask>\n", "Lockstep lockstep LOCKSTEP locksteps",
    "[CLS] the [MASK] cat [SEP][PAD] [UNK]", "<|endoftext|", "<|endo<|endoftext|>ftext|>",
]
BROKEN = [b"\xff", b"a\x80b", b"\xc3", b"\xc3(", b"\xe2\x82", b"\xe2\x82 \xac", b"\xf0\x9f\x98", b"\xed\xa0\x80x", b"\xc0\xaf",
          b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"ok \xe4\xbd caf\xe9 \xf0\x9f\x98\x80\xf0", b"\xe0\x80\x80", b"\xf5"]


def shipped_text(size):
    """The text of the shipped records, joined: each is an Example of one bytes feature 'text'."""
    raw = (ROOT / "examples/data/text-train-00000-of-00001.tfrecord").read_bytes()
    text, at = b"", 0
    while at < len(raw) and len(text) < size:
        (length,) = struct.unpack_from("<Q", raw, at)
        record = raw[at + 12 : at + 12 + length]
        for _ in range(5):  # Example.features, Features.feature, its value, bytes_list, the string
            record = last_field(record)
        text += record
        at += 16 + length
    return text[:size].decode()


def last_field(message):
    """The last length-delimited field of a message."""
    at, value = 0, b""
    while at < len(message):
        at += 1  # a tag of one byte
        length, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        value = message[at : at + length]
        at += length
    return value


def make_bpe(text, prefix_space=False):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([text, *[p for p in PHRASES for _ in range(20)]], trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=prefix_space, normalized=False)])
    tokenizer.add_tokens([AddedToken("lockstep", normalized=True)])
    return tokenizer


def make_word_piece(text, lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=800, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
                                        limit_alphabet=400, show_progress=False)
    tokenizer.train_from_iterator([text, *[p for p in PHRASES for _ in range(20)]], trainer)
    tokenizer.add_tokens([AddedToken("Lockstep", normalized=True)])
    return tokenizer


def random_texts(count):
    """Strings of code points of all general categories, neighbours of one kind more often than chance."""
    draw = random.Random(20260101)
    by_category = {}
    for c in range(0x110000):
        if not 0xD800 <= c < 0xE000:
            by_category.setdefault(unicodedata.category(chr(c)), []).append(chr(c))
    marks = [c for c in map(chr, range(0x30000)) if unicodedata.combining(c)]
    names = sorted(by_category)
    for _ in range(count):
        text = ""
        while draw.random() < 0.9:
            pool = draw.choice([by_category[draw.choice(names)], marks, [" ", "\n", "a", "'", "s", "1", "E", "é", "漢"]])
            text += "".join(draw.choices(pool, k=draw.randint(1, 4)))
        yield text


def sha(data):
    return hashlib.sha256(data).hexdigest()


def ids_hash(rows):
    return sha(b"".join(struct.pack(f"<{len(row) + 1}I", len(row), *row) for row in rows))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    text = shipped_text(300_000)
    made = {"bpe": make_bpe(text[:200_000]), "bpe_prefix": make_bpe(text[:50_000], prefix_space=True),
            "uncased": make_word_piece(text, True), "cased": make_word_piece(text, False)}
    texts = [*PHRASES, text[5000:7000]]
    randoms = list(random_texts(3000))
    golden = {"texts": texts, "random_texts": randoms[:300], "broken": [b.hex() for b in BROKEN], "tokenizers": {}}
    for name, tokenizer in made.items():
        (OUT / f"{name}.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=True, indent=None))
        encode = lambda t: tokenizer.encode(t, add_special_tokens=False).ids
        golden["tokenizers"][name] = {
            "ids": [encode(t) for t in texts],
            "decoded": [tokenizer.decode(encode(t), skip_special_tokens=False) for t in texts],
            "random_ids": ids_hash([encode(t) for t in randoms[:300]]),
            "broken_ids": [encode(b.decode(errors="replace")) for b in BROKEN] if "cased" in name else [],
        }
    fresh = Tokenizer(models.BPE())
    fresh.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    fresh.train_from_iterator([t for i, t in enumerate(texts) for _ in range(i + 1)], trainer)
    model = json.loads(fresh.to_str())["model"]
    golden["trained"] = {"vocabulary": 600, "merges": model["merges"], "vocab": model["vocab"]}
    # Every code point of the planes in use, in blocks of 4096: with a letter, a digit, a blank and a mark beside it.
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bert = pre_tokenizers.BertPreTokenizer()
    every = dict(clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True)
    golden["sweep"] = {}
    for block_number in [*range(0x34), 0xE0, 0xE1, 0xF0, 0x10F]:
        first = block_number << 12
        block = [chr(c) for c in range(first, first + 0x1000) if not 0xD800 <= c < 0xE000]
        line = "".join(f"a{c}1{c} {c}{c}\u0301A\u0323\u302e " for c in block)
        golden["sweep"][str(block_number)] = [sha("\n".join(w for w, _ in words.pre_tokenize_str(line)).encode())[:16],
                      sha("\n".join(w for w, _ in bert.pre_tokenize_str(line)).encode())[:16],
                      sha(normalizers.BertNormalizer(**every).normalize_str(line).encode())[:16],
                      sha(normalizers.BertNormalizer(**{**every, "clean_text": False}).normalize_str(line).encode())[:16],
                      sha(normalizers.BertNormalizer(**{**every, "strip_accents": False}).normalize_str(line).encode())[:16]]
    (OUT / "cases.json").write_text(json.dumps(golden, ensure_ascii=True))


if __name__ == "__main__":
    main()
