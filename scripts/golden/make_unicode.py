"""Asks Hugging Face's `tokenizers` how it treats every code point, and writes
runtime/data/text/unicode_tables.inc from the answers.

    scripts/golden/make_unicode.py

The reference is no single edition of Unicode: its regular expressions, its normalisation, its categories of
punctuation and marks and its lower case each come from a library of another age. So its behaviour is tabulated,
not a Unicode edition. Needs: pip install tokenizers (0.23.3 made the file in the repository).
"""
import unicodedata
from pathlib import Path

import tokenizers
from tokenizers import normalizers, pre_tokenizers

OUT = Path(__file__).resolve().parents[2] / "runtime/data/text/unicode_tables.inc"
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic


def bert(**on):
    flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    normalizer = normalizers.BertNormalizer(**{**flags, **on})
    return {c: normalizer.normalize_str(chr(c)) for c in POINTS}


def ranges(points):
    """first, last of each run, the firsts as gaps: from the end of the run before, and the length less one."""
    runs = []
    for c in sorted(points):
        if runs and runs[-1][1] == c - 1:
            runs[-1][1] = c
        else:
            runs.append([c, c])
    out, end = [], 0
    for first, last in runs:
        out += [first - end, last - first]
        end = last
    return out


def maps(mapping):
    """first, count, stride, to: the code points first + k * stride become to + k * stride."""
    runs = []
    for c, to in sorted(mapping.items()):
        if runs:
            first, count, stride, base = runs[-1]
            step = c - (first + (count - 1) * stride)
            if to - base == c - first and (count == 1 and step <= 2 or step == stride):
                runs[-1] = (first, count + 1, step, base)
                continue
        runs.append((c, 1, 1, to))
    return [n for run in runs for n in run]


def array(name, numbers, comment):
    lines, line = [], " "
    for n in numbers:
        word = f" {n},"
        if len(line) + len(word) > 108:
            lines.append(line)
            line = " "
        line += word
    lines.append(line)
    return f"// {comment}\nconstexpr int32_t {name}[] = {{\n" + "\n".join(lines) + "\n};\n"


def main():
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    joins = lambda text: len(byte_level.pre_tokenize_str(text)) == 1
    letters = [c for c in POINTS if joins("a" + chr(c))]
    numbers = [c for c in POINTS if joins("1" + chr(c))]
    spaces = [c for c in POINTS if not joins("a" + chr(c)) and not joins("1" + chr(c)) and not joins("#" + chr(c))]
    words = pre_tokenizers.BertPreTokenizer()
    count = {c: len(words.pre_tokenize_str("a" + chr(c) + "b")) for c in POINTS}
    assert [c for c in POINTS if count[c] == 2] == spaces
    clean, stripped, lower = bert(clean_text=True), bert(strip_accents=True), bert(lowercase=True)
    cleaned_spaces = [c for c in POINTS if clean[c] == " "]
    assert set(cleaned_spaces) <= set(spaces)
    assert all(clean[c] in ("", " ", chr(c)) for c in POINTS)
    one = {c: ord(t) for c, t in stripped.items() if len(t) == 1 and ord(t) != c and c not in HANGUL}
    more = {c: t for c, t in stripped.items() if len(t) > 1 and c not in HANGUL}
    lower_one = {c: ord(t) for c, t in lower.items() if len(t) == 1 and ord(t) != c}
    lower_more = {c: t for c, t in lower.items() if len(t) > 1}
    spell = lambda mapping: [n for c, t in sorted(mapping.items()) for n in (c, len(t), *map(ord, t))]
    marks = [c for c, t in stripped.items() if t == ""]
    order = lambda c: unicodedata.combining(chr(c))
    kept = [c for c, t in stripped.items() if t == chr(c) and order(c) > 0]
    text = "// Made by scripts/golden/make_unicode.py from tokenizers " + tokenizers.__version__ + "; do not edit.\n"
    text += "// Ranges are pairs: gap from the last code point of the range before, and length less one.\n"
    text += array("kLetters", ranges(letters), r"\p{L} of the byte-level pattern.")
    text += array("kNumbers", ranges(numbers), r"\p{N} of the byte-level pattern.")
    text += array("kSpaces", ranges(spaces), r"\s of the byte-level pattern, and what ends a word of BERT's.")
    text += array("kPunctuationRanges", ranges([c for c in POINTS if count[c] == 3]), "A word of its own for BERT.")
    text += array("kDroppedRanges", ranges([c for c in POINTS if clean[c] == ""]), "What BERT's clean_text takes away.")
    text += array("kMarks", ranges(marks), "What BERT's strip_accents takes away.")
    text += array("kStarterMarks", ranges([c for c in marks if order(c) == 0]),
                  "Of these, the ones of combining class 0, which keep their neighbours in order.")
    text += array("kKeptMarks", [n for c in kept for n in (c, order(c))],
                  "Code points of another combining class that strip_accents keeps, and that class.")
    text += array("kStripped", maps(one), "Canonical decomposition without marks: first, count, stride, to.")
    text += array("kStrippedToMore", spell(more), "The same where more is left: from, how many, to...")
    text += array("kLowerRuns", maps(lower_one), "Lower case: first, count, stride, to.")
    text += array("kLowerToMore", spell(lower_more), "The same where it has more code points: from, how many, to...")
    OUT.write_text(text)


if __name__ == "__main__":
    main()
