"""Writes tests/testing/golden/tokenizers/word_piece_trained.json: what Hugging Face's WordPieceTrainer learns.

    scripts/golden/make_word_piece.py

Needs: pip install tokenizers (0.23.3 made the file in the repository), and cases.json of make_tokenizers.py beside it.

The trainer numbers the characters within words ("##e") in the order of a hash map, which is another in every process,
and among pairs that occur equally often it merges the one of lower ids: two runs on one text learn different tokens. So
that there is one answer, every character is given to it in advance, as a special token, in the order that ours has: the
characters by code point, then those within words by code point.
"""
import json
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from make_tokenizers import OUT, shipped_text

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def pieces(texts, lower):
    normalizer, words = normalizers.BertNormalizer(lowercase=lower), pre_tokenizers.BertPreTokenizer()
    for text in texts:
        for word, _ in words.pre_tokenize_str(normalizer.normalize_str(text)):
            yield word


def learn(texts, lower, merges):
    characters, within = set(), set()
    for word in pieces(texts, lower):
        characters.update(word)
        within.update("##" + c for c in word[1:])
    pinned = SPECIAL + sorted(characters) + sorted(within)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=len(pinned) + merges, special_tokens=pinned, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    assert [i for _, i in vocabulary] == list(range(len(vocabulary)))
    return {"lower": lower, "vocabulary": len(pinned) + merges, "tokens": [token for token, _ in vocabulary]}


def main():
    golden = json.loads((OUT / "cases.json").read_text())
    # Every class of characters, each text as often as its place says.
    mixed = [t for i, t in enumerate(golden["texts"] + golden["random_texts"]) for _ in range(i % 7 + 1)]
    bible = shipped_text(300_000).split("\n")
    trained = {"mixed": [learn(mixed, True, 400), learn(mixed, False, 400)],
               "shipped": [learn(bible, True, 1500), learn(bible, False, 1500)],
               "exhausted": [learn(["aaa ab aab", "b"], True, 1000)]}
    (OUT / "word_piece_trained.json").write_text(json.dumps(trained, ensure_ascii=True, indent=None))


if __name__ == "__main__":
    main()
