"""Embeds the table `photos` into the table `embedded` as a good Python program would: a thread that reads rows, threads that
decode ahead of ONNX Runtime, batches of 16, and COPY of the vectors in PostgreSQL's binary format.

    python pipeline.py MODEL_FOLDER THREADS

Connects as the environment says (PGHOST, …). Answers each line of standard input, {}, with {"rows": number}.
"""

import json
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import PIL
import psycopg

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
from preparation import Preparation  # noqa: E402

BATCH = 16
# Batches that are decoded, or wait for it, ahead of the one that runs.
AHEAD = 4
SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)


class Pipeline:
    def __init__(self, folder, threads):
        config = json.loads((folder / "preprocessor_config.json").read_text())
        self.preparation = Preparation(config["size"]["shortest_edge"], config["image_mean"], config["image_std"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(folder / "onnx/vision_model.onnx", options, ["CPUExecutionProvider"])
        self.decoders = ThreadPoolExecutor(threads)
        self.source, self.target = psycopg.connect(), psycopg.connect()

    def read(self, batches):
        try:
            edge = self.preparation.edge
            with self.source.cursor("photos", binary=True) as cursor:
                cursor.execute("SELECT id, image FROM photos")
                while rows := cursor.fetchmany(BATCH):
                    inputs = np.empty((len(rows), 3, edge, edge), dtype=np.float32)
                    decoded = [self.decoders.submit(self.preparation.prepare, image, out=inputs[place])
                               for place, (_, image) in enumerate(rows)]
                    batches.put(([id for id, _ in rows], inputs, decoded))
            self.source.rollback()
            batches.put(None)
        except BaseException as error:
            batches.put(error)

    def run(self):
        batches = queue.Queue(AHEAD)
        threading.Thread(target=self.read, args=[batches], daemon=True).start()
        count = 0
        with self.target.cursor() as cursor, cursor.copy("COPY embedded FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(SIGNATURE)
            while (batch := batches.get()) is not None:
                if isinstance(batch, BaseException):
                    raise batch
                ids, inputs, decoded = batch
                for each in decoded:
                    each.result()
                (vectors,) = self.session.run(["image_embeds"], {"pixel_values": inputs})
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                copy.write(rows(ids, vectors))
                count += len(ids)
            copy.write(b"\xff\xff")
        self.target.commit()
        return count


def rows(ids, vectors):
    """Rows of a bigint and a vector as binary COPY has them."""
    dimension = vectors.shape[1]
    fields = np.empty(len(ids), dtype=[
        ("fields", ">i2"), ("id_bytes", ">i4"), ("id", ">i8"),
        ("vector_bytes", ">i4"), ("dimension", ">i2"), ("unused", ">i2"), ("values", ">f4", dimension)])
    fields["fields"], fields["id_bytes"], fields["id"] = 2, 8, ids
    fields["vector_bytes"], fields["dimension"], fields["unused"] = 4 + 4 * dimension, dimension, 0
    fields["values"] = vectors
    return fields.tobytes()


pipeline = Pipeline(Path(sys.argv[1]), int(sys.argv[2]))
print(json.dumps({"about": f"Pillow {PIL.__version__}, numpy {np.__version__}, ONNX Runtime {onnxruntime.__version__}, "
                           f"psycopg {psycopg.__version__}"}), flush=True)
for _ in sys.stdin:
    print(json.dumps({"rows": pipeline.run()}), flush=True)
