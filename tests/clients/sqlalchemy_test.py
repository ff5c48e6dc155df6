"""SQLAlchemy 2 with psycopg: functions by `func`, the column by pgvector's type."""

from pathlib import Path

from pgvector.sqlalchemy import Vector
from sqlalchemy import BigInteger, Computed, Identity, LargeBinary, cast, column, create_engine, func, select
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

MODEL = "clip-search/emoji"
CAT = Path("photos/animal/cat face.png").read_bytes()


class Base(DeclarativeBase):
    pass


class Photo(Base):
    __tablename__ = "photos"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    caption: Mapped[str]
    category: Mapped[str | None]
    image: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    embedding = mapped_column(
        Vector(128), Computed(f"clip_embed_image(image, '{MODEL}')", persisted=True), deferred=True
    )


def search(*arguments, **named):
    """clip_search as a table. PostgreSQL's names of arguments have no form in SQLAlchemy: they go by position."""
    return func.clip_search("photos", *arguments).table_valued(
        column("id", JSONB), column("similarity"), column("metadata", JSONB), name="found"
    )


engine = create_engine("postgresql+psycopg://")
with Session(engine) as session:
    found = session.execute(select(search("red apple", 3))).all()
    assert len(found) == 3 and found[0].metadata["caption"] == "red apple", found

    filter = cast({"category": "animal"}, JSONB)
    found = session.execute(select(search("red apple", 10, None, filter))).all()
    assert {row.metadata["category"] for row in found} == {"animal"} and len(found) == 4, found
    # SQLAlchemy casts a str to varchar.
    for filter in ('{"category": "animal"}', cast({"category": "animal"}, JSON)):
        found = session.execute(select(search("red apple", 10, None, filter))).all()
        assert len(found) == 4, found

    apple = session.scalar(select(Photo.id).where(Photo.caption == "red apple"))
    for exclude in (apple, cast(apple, JSONB)):
        found = session.execute(select(search("red apple", 10, None, None, None, None, None, exclude))).all()
        assert found and apple not in [row.id for row in found], found

    found = search(CAT, 1)
    join = select(Photo, found.c.similarity).join(found, Photo.id == cast(found.c.id, BigInteger))
    photo, similarity = session.execute(join).one()
    assert photo.caption == "cat face" and similarity > 0.999, photo.caption

    distance = Photo.embedding.cosine_distance(func.clip_embed_text("bicycle", MODEL))
    assert session.scalars(select(Photo).order_by(distance).limit(1)).one().caption == "bicycle"

    photo = Photo(caption="new", category="animal", image=CAT)
    session.add(photo)
    session.commit()
    assert photo.id in [row.id for row in session.execute(select(search(CAT, 2)))]
    session.add(Photo(caption="bad", image=b"no image"))
    try:
        session.commit()
    except DBAPIError as error:
        assert error.orig.sqlstate == "22P03", error
        session.rollback()
    else:
        raise AssertionError("bytes that are no image were stored")
