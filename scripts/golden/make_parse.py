"""Writes tests/testing/golden/parse_example.json with TensorFlow: records, and what tf.io.parse_single_example and
tf.io.parse_single_sequence_example make of them.

python scripts/golden/make_parse.py      (pip install tensorflow-cpu)
"""
import json
import pathlib
import re

import tensorflow as tf

PATH = pathlib.Path(__file__).resolve().parents[2] / "tests/testing/golden/parse_example.json"
TYPES = {"I64": tf.int64, "F32": tf.float32}


def feature(value):
    if value is None:
        return tf.train.Feature()
    kind, items = value
    if kind == "i":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=items))
    if kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=items))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[x.encode() for x in items]))


def example(features):
    return tf.train.Example(features=tf.train.Features(feature={k: feature(v) for k, v in features.items()}))


def sequence(features, lists):
    return tf.train.SequenceExample(
        context=example(features).features,
        feature_lists=tf.train.FeatureLists(feature_list={
            name: tf.train.FeatureList(feature=[feature(step) for step in steps]) for name, steps in lists.items()}))


def values(tensor):
    if isinstance(tensor, tf.sparse.SparseTensor):
        tensor = tensor.values
    return [float(x) for x in tf.reshape(tensor, [-1]).numpy()]


cases = []


def parse(how, record, name, dtype, spec, words):
    """One feature of one record; `words` says to the test what `spec` is."""
    try:
        if how == "example":
            got = values(tf.io.parse_single_example(record, {name: spec})[name])
        else:
            got = values(tf.io.parse_single_sequence_example(record, sequence_features={name: spec})[1][name])
    except (tf.errors.OpError, ValueError):
        got = None
    cases.append({"how": how, "record": next(k for k, v in RECORDS.items() if v == record), "name": name, "type": dtype, **words, "values": got})


FEATURES = {"one": ("i", [7]), "three": ("i", [1, -2, 3]), "empty": ("i", []), "none": None, "floats": ("f", [0.5, -1.5]),
            "text": ("b", ["ab"]), "no_floats": ("f", [])}
twice = example(FEATURES).SerializeToString(deterministic=True) + example({"one": ("i", [8, 9])}).SerializeToString()
whole = example(FEATURES).SerializeToString(deterministic=True)
RECORDS = {"whole": whole, "twice": twice}
for record in (whole, twice):
    for name in list(FEATURES) + ["missing"]:
        for dtype, tf_type in TYPES.items():
            for count in (1, 2, 3):
                parse("example", record, name, dtype, tf.io.FixedLenFeature([count], tf_type),
                      {"kind": "fixed", "count": count})
                parse("example", record, name, dtype,
                      tf.io.FixedLenFeature([count], tf_type, default_value=[4] * count),
                      {"kind": "default", "count": count})
            parse("example", record, name, dtype, tf.io.VarLenFeature(tf_type), {"kind": "variable"})

LISTS = {"pairs": [("i", [1, 2]), ("i", [3, 4])], "uneven": [("i", [1]), ("i", []), ("i", [2, 3])], "empty": [],
         "floats": [("f", [0.5]), ("f", [1.5]), ("f", [2.5])], "hole": [("i", [1]), None]}
record = sequence({"id": ("i", [5])}, LISTS).SerializeToString(deterministic=True)
RECORDS["sequence"] = record
for name in list(LISTS) + ["missing"]:
    for dtype, tf_type in TYPES.items():
        for width in (1, 2):
            parse("sequence", record, name, dtype, tf.io.FixedLenSequenceFeature([width], tf_type, allow_missing=True),
                  {"kind": "steps", "count": width})
        parse("sequence", record, name, dtype, tf.io.VarLenFeature(tf_type), {"kind": "ragged"})

text = json.dumps({"made_with": f"tensorflow {tf.__version__}", "records": {k: v.hex() for k, v in RECORDS.items()}, "cases": cases}, indent=1)
PATH.write_text(re.sub(r"\n   +|\n  }", lambda m: " }" if m[0].endswith("}") else " ", text) + "\n")
print(PATH, PATH.stat().st_size, "bytes", len(cases), "cases,", sum(c["values"] is None for c in cases), "refused")
