"""Writes tests/testing/golden/tensorflow.tfrecord with TensorFlow: five records whose features are of every kind.

python scripts/golden/make_records.py      (pip install tensorflow-cpu)
"""
import pathlib

import tensorflow as tf

PATH = pathlib.Path(__file__).resolve().parents[2] / "tests/testing/golden/tensorflow.tfrecord"


def feature(i):
    return {
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[i - 2])),
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes([i]) * (3 * i)])),
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=[i, -i / 2])),
    }


with tf.io.TFRecordWriter(str(PATH)) as writer:
    for i in range(5):
        example = tf.train.Example(features=tf.train.Features(feature=feature(i)))
        writer.write(example.SerializeToString(deterministic=True))
print(PATH, PATH.stat().st_size, "bytes")
