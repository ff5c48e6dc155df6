"""Django 5 with psycopg: pgvector's field in a generated column, clip_search by a raw query."""

import os
from pathlib import Path

import django
from django.conf import settings
from django.db import DataError, connection, models, transaction
from django.db.models import F, Func, Value

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": os.environ["PGUSER"],
            "NAME": os.environ["PGDATABASE"],
        }
    },
)
django.setup()

from pgvector.django import CosineDistance, VectorField

MODEL = "clip-search/emoji"
CAT = Path("photos/animal/cat face.png").read_bytes()


class EmbedText(Func):
    function = "clip_embed_text"
    output_field = VectorField()


class EmbedImage(Func):
    function = "clip_embed_image"
    output_field = VectorField()


class Photo(models.Model):
    id = models.BigAutoField(primary_key=True)
    caption = models.TextField()
    category = models.TextField(null=True)
    image = models.BinaryField()
    embedding = models.GeneratedField(
        expression=EmbedImage(F("image"), Value(MODEL)), output_field=VectorField(dimensions=128), db_persist=True
    )

    class Meta:
        app_label = "photos"
        db_table = "photos"


def search(query, k, filter=None, exclude=None):
    return list(
        Photo.objects.raw(
            "SELECT p.id, p.caption, p.category, f.similarity"
            "  FROM clip_search('photos', %s, k => %s, filter => %s, exclude => %s) AS f"
            "  JOIN photos AS p ON p.id = f.id::bigint ORDER BY f.similarity DESC",
            [query, k, filter, exclude],
        )
    )


from psycopg.types.json import Json, Jsonb

found = search("red apple", 3)
assert len(found) == 3 and found[0].caption == "red apple", found
for filter in (Jsonb({"category": "animal"}), Json({"category": "animal"}), '{"category": "animal"}'):
    found = search("red apple", 10, filter)
    assert {photo.category for photo in found} == {"animal"} and len(found) == 4, found

apple = Photo.objects.only("id").get(caption="red apple").id
for exclude in (apple, [apple], Jsonb(apple), str(apple)):
    found = search("red apple", 10, exclude=exclude)
    assert found and apple not in [photo.id for photo in found], found

found = search(CAT, 1)
assert found[0].caption == "cat face" and found[0].similarity > 0.999, found

distance = CosineDistance("embedding", EmbedText(Value("bicycle"), Value(MODEL)))
assert Photo.objects.defer("image").order_by(distance)[0].caption == "bicycle"

photo = Photo.objects.create(caption="new", category="animal", image=CAT)
assert photo.id in [found.id for found in search(CAT, 2)]
try:
    with transaction.atomic():
        Photo.objects.create(caption="bad", image=b"no image")
except DataError as error:
    assert error.__cause__.sqlstate == "22P03", error
else:
    raise AssertionError("bytes that are no image were stored")

# What a migration would create.
with connection.schema_editor(collect_sql=True) as editor:
    editor.create_model(Photo)
(create,) = (sql for sql in editor.collected_sql if sql.startswith("CREATE TABLE"))
assert '"embedding" vector(128) GENERATED ALWAYS AS (clip_embed_image("image", \'clip-search/emoji\')) STORED' in create, create
