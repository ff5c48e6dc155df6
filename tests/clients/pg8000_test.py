"""pg8000: texts and bytes are sent without a type, dicts as jsonb."""

import os
from pathlib import Path

import pg8000.native

CAT = Path("photos/animal/cat face.png").read_bytes()
SEARCH = "SELECT metadata->>'caption' FROM clip_search('photos', :query, k => :k, filter => :filter)"

connection = pg8000.native.Connection(
    os.environ["PGUSER"],
    database=os.environ["PGDATABASE"],
    unix_sock=f"{os.environ['PGHOST']}/.s.PGSQL.{os.environ['PGPORT']}",
)


def column(sql, **parameters):
    return [row[0] for row in connection.run(sql, **parameters)]


found = column(SEARCH, query="red apple", k=3, filter=None)
assert len(found) == 3 and found[0] == "red apple", found

for filter in ({"category": "animal"}, '{"category": "animal"}'):
    found = column(SEARCH, query="red apple", k=10, filter=filter)
    assert set(found) == {"cat face", "dog face", "rabbit face", "frog"}, found

(apple,) = column("SELECT id FROM photos WHERE caption = :caption", caption="red apple")
found = column("SELECT id FROM clip_search('photos', 'red apple', exclude => :exclude)", exclude=apple)
assert found and apple not in found, found
found = column("SELECT id FROM clip_search('photos', 'red apple', exclude => CAST(:exclude AS bigint[]))", exclude=[apple])
assert found and apple not in found, found

BY_IMAGE = SEARCH.replace(":query", "CAST(:query AS bytea)")
assert column(BY_IMAGE, query=CAT, k=1, filter=None) == ["cat face"]
try:
    column(SEARCH, query=CAT, k=1, filter=None)
except pg8000.native.DatabaseError as error:
    # Taken for a text, and refused: not a search for other words.
    assert error.args[0]["C"] == "22023", error
else:
    raise AssertionError("an image was searched as a text")

join = "SELECT p.caption FROM clip_search('photos', :query, k => 1) AS f JOIN photos AS p ON p.id = CAST(f.id AS bigint)"
assert column(join, query="frog") == ["frog"]

order_by = "SELECT caption FROM photos ORDER BY embedding <=> clip_embed_text(:query) LIMIT 1"
assert column(order_by, query="bicycle") == ["bicycle"]

insert = "INSERT INTO photos (caption, category, image) VALUES (:caption, :category, :image) RETURNING id"
(id,) = column(insert, caption="new", category="animal", image=CAT)
assert id in column("SELECT id FROM clip_search('photos', CAST(:query AS bytea), k => 2)", query=CAT)
try:
    column(insert, caption="bad", category=None, image=b"no image")
except pg8000.native.DatabaseError as error:
    assert error.args[0]["C"] == "22P03", error
else:
    raise AssertionError("bytes that are no image were stored")
