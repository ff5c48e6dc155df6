// node-postgres: parameters are sent as text without a type, Buffers as binary without a type.
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { Client } = require('pg');

const CAT = readFileSync('photos/animal/cat face.png');
const SEARCH = "SELECT id, metadata FROM clip_search('photos', $1, k => $2, filter => $3)";

async function main() {
  const client = new Client();
  await client.connect();
  const rows = async (sql, parameters) => (await client.query(sql, parameters)).rows;

  let found = await rows(SEARCH, ['red apple', 3, null]);
  assert.equal(found.length, 3);
  assert.equal(found[0].metadata.caption, 'red apple');

  for (const filter of [{ category: 'animal' }, '{"category": "animal"}']) {
    found = await rows(SEARCH, ['red apple', 10, filter]);
    assert.deepEqual(new Set(found.map((row) => row.metadata.category)), new Set(['animal']));
    assert.equal(found.length, 4);
  }

  const [apple] = await rows('SELECT id FROM photos WHERE caption = $1', ['red apple']);
  // A bigint arrives as a string, jsonb as a number: it is sent as either.
  assert.equal(typeof apple.id, 'string');
  for (const exclude of [apple.id, Number(apple.id)]) {
    found = await rows("SELECT id FROM clip_search('photos', $1, exclude => $2)", ['red apple', exclude]);
    assert.ok(found.length > 0 && found.every((row) => row.id !== Number(apple.id)));
  }

  found = await rows("SELECT metadata ->> 'caption' AS caption FROM clip_search_image('photos', $1, 1)", [CAT]);
  assert.equal(found[0].caption, 'cat face');
  found = await rows('SELECT label FROM clip_classify_image($1, $2) LIMIT 1', [CAT, ['cat face', 'automobile']]);
  assert.equal(found[0].label, 'cat face');
  found = await rows(SEARCH.replace('$1', '$1::bytea'), [CAT, 1, null]);
  assert.equal(found[0].metadata.caption, 'cat face');

  found = await rows(
    "SELECT p.caption FROM clip_search('photos', $1, k => $2) AS f JOIN photos AS p ON p.id = f.id::bigint",
    ['frog', 1],
  );
  assert.deepEqual(found, [{ caption: 'frog' }]);

  found = await rows('SELECT caption FROM photos ORDER BY embedding <=> clip_embed_text($1) LIMIT $2', ['bicycle', 1]);
  assert.deepEqual(found, [{ caption: 'bicycle' }]);

  found = await rows('SELECT label FROM clip_classify($1::bytea, $2) LIMIT 1', [CAT, ['cat face', 'automobile']]);
  assert.deepEqual(found, [{ label: 'cat face' }]);

  const insert = 'INSERT INTO photos (caption, category, image) VALUES ($1, $2, $3) RETURNING id';
  const [{ id }] = await rows(insert, ['new', 'animal', CAT]);
  found = await rows("SELECT id FROM clip_search('photos', $1::bytea, k => 2)", [CAT]);
  assert.ok(found.some((row) => row.id === Number(id)));
  await assert.rejects(rows(insert, ['bad', null, Buffer.from('no image')]), { code: '22P03' });

  await client.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
