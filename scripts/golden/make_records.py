"""Writes tests/testing/golden/tensorflow*.tfrecord with TensorFlow: five records whose features are of every kind, plain,
compressed as a whole by GZIP and ZLIB, and as two GZIP files one behind the other.

python scripts/golden/make_records.py      (pip install tensorflow-cpu)
"""
import pathlib
import tempfile

import tensorflow as tf

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests/testing/golden"
RECORDS = 5


def feature(i):
    return {
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[i - 2])),
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes([i]) * (3 * i)])),
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=[i, -i / 2])),
    }


def record_file(compression, numbers):
    """The bytes of a file of these records."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "f"
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type=compression)) as writer:
            for i in numbers:
                example = tf.train.Example(features=tf.train.Features(feature=feature(i)))
                writer.write(example.SerializeToString(deterministic=True))
        return path.read_bytes()


def put(name, contents):
    path = FOLDER / f"{name}.tfrecord"
    path.write_bytes(contents)
    compression = "GZIP" if "gzip" in name else "ZLIB" if "zlib" in name else ""
    read = sum(1 for _ in tf.data.TFRecordDataset(str(path), compression_type=compression))
    assert read == RECORDS, (name, read)
    print(path, len(contents), "bytes")


put("tensorflow", record_file("", range(RECORDS)))
put("tensorflow_gzip", record_file("GZIP", range(RECORDS)))
put("tensorflow_zlib", record_file("ZLIB", range(RECORDS)))
put("tensorflow_gzip_several", record_file("GZIP", range(2)) + record_file("GZIP", range(2, RECORDS)))
