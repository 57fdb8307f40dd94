"""Places of documents among those of their query, for answers that are written row by row."""

import json
import tempfile
from array import array
from hashlib import blake2b

import numpy as np

from evals.ranking import places_of
from runner.answer_files import AnswerWriter
from runner.answers import Answer
from runner.data.scan import same_hashes
from runner.inputs import InputRow


class Ranks:
    """Keeps rows and answers on disk, and 24 bytes of each in memory; `finish` writes them all, each with its `rank`.

    1 = the highest logit of its query; equal ones share a place. A row without an answer has none.
    """

    def __init__(self, writer: AnswerWriter) -> None:
        self._writer = writer
        self._kept = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass")  # noqa: SIM115  # until finish
        self._queries, self._logits = bytearray(), array("d")

    def write(self, row: InputRow, answer: Answer) -> None:
        query = row.group if row.group is not None else (row.inputs or {}).get("query", "")
        self._queries += blake2b(str(query).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self._logits.append(np.nan if answer["logit"] is None else answer["logit"])
        self._kept.write(json.dumps([row.number, row.inputs, row.given, answer]) + "\n")

    def finish(self) -> None:
        """Write all rows in their order."""
        logits = np.frombuffer(self._logits, dtype=np.float64)
        queries = same_hashes(np.frombuffer(self._queries, dtype=np.uint8).reshape(-1, 16)).group
        places = places_of(queries, logits)
        self._kept.seek(0)
        for line, place in zip(self._kept, places.tolist(), strict=True):
            number, inputs, given, answer = json.loads(line)
            self._writer.write(
                InputRow(number, inputs, given), {**answer, "rank": None if np.isnan(place) else int(place)}
            )
        self._kept.close()
