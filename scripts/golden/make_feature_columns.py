"""Writes tests/testing/golden/feature_columns.json with TensorFlow: fingerprints, and what tf.feature_column makes of small
tables.

python scripts/golden/make_feature_columns.py      (pip install tensorflow-cpu)
"""
import json
import pathlib
import re

import tensorflow as tf

PATH = pathlib.Path(__file__).resolve().parents[2] / "tests/testing/golden/feature_columns.json"
fc = tf.feature_column

# The bytes that a test can make again: a linear congruential generator.
def text(size):
    state, out = 12345 + size, bytearray()
    for _ in range(size):
        state = (state * 1103515245 + 12345) % 2**31
        out.append(state >> 16 & 0xFF)
    return bytes(out)


def fingerprint(data):
    return bytes(tf.fingerprint(tf.constant([data])).numpy()[0])[::-1].hex()


def dense(columns, features):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        # Strings and integers as a record's lists of any length are: sparse, an empty string is none at all. (A cross
        # takes dense inputs after sparse ones, whatever the order of its keys.)
        tensors = {k: tf.constant(v) for k, v in features.items()}
        for name, dtype in (("word", tf.string), ("number", tf.int64)):
            rows = [(i, row[0]) for i, row in enumerate(features[name]) if row[0] != ""]
            tensors[name] = tf.SparseTensor([[i, 0] for i, _ in rows], tf.constant([x for _, x in rows], dtype),
                                            [len(features[name]), 1])
        layer = [tf.compat.v1.feature_column.input_layer(tensors, [column]) for column in columns]
        session.run(tf.compat.v1.tables_initializer())
        return [[[float(x) for x in row] for row in out] for out in session.run(layer)]


FEATURES = {
    "word": [["red"], ["green"], ["blue"], ["ultraviolet"], [""]],
    "number": [[7], [-3], [0], [123456789012], [7]],
    "x": [[0.5], [-1.0], [2.0], [10.0], [1.0]],
}
WORDS = fc.categorical_column_with_vocabulary_list("word", ["red", "green", "blue"], num_oov_buckets=2)
KNOWN = fc.categorical_column_with_vocabulary_list("word", ["blue", "red"])
HASHED = fc.categorical_column_with_hash_bucket("word", 5)
NUMBERS = fc.categorical_column_with_hash_bucket("number", 7, dtype=tf.int64)
BUCKETS = fc.bucketized_column(fc.numeric_column("x"), [-1.0, 1.0, 2.0])
COLUMNS = {
    "vocabulary_unknown": fc.indicator_column(WORDS),
    "vocabulary": fc.indicator_column(KNOWN),
    "hashed": fc.indicator_column(HASHED),
    "hashed_numbers": fc.indicator_column(NUMBERS),
    "buckets": BUCKETS,
    "normalised": fc.numeric_column("x", normalizer_fn=lambda x: (x - 0.75) / 2.5),
    "crossed_words_buckets": fc.indicator_column(fc.crossed_column(["word", BUCKETS], 11)),
    "crossed_number_word": fc.indicator_column(fc.crossed_column(["number", "word"], 13)),
    "crossed_three": fc.indicator_column(fc.crossed_column(["word", "number", BUCKETS], 17)),
    "crossed_vocabulary": fc.indicator_column(fc.crossed_column([KNOWN, BUCKETS], 19)),
}
golden = {
    "made_with": f"tensorflow {tf.__version__}",
    "fingerprints": {str(n): fingerprint(text(n)) for n in list(range(0, 140)) + [255, 256, 257, 1000]},
    "words": {word: fingerprint(word.encode()) for word in ["", "a", "hello", "Lockstep"]},
    "features": FEATURES,
    "columns": dict(zip(COLUMNS, dense(list(COLUMNS.values()), FEATURES))),
}
# Rows of numbers in one line each.
lines = re.sub(r"\[[-0-9.,\s]+\]", lambda row: re.sub(r"\s+", " ", row[0]), json.dumps(golden, indent=1))
PATH.write_text(lines + "\n")
print(PATH, PATH.stat().st_size, "bytes")
