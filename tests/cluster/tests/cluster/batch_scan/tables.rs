//! What the rows of a random statement are from: tables, joins, conditions.

use super::grammar::Random;

pub fn from_where(random: &mut Random) -> String {
    let from = match random.below(20) {
        0 => "FROM parts t".to_owned(),
        1 => "FROM shown t".to_owned(),
        2 => format!("FROM (SELECT *, ctid FROM images WHERE id > {} OFFSET 0) t", random.below(20)),
        3 => "FROM images t JOIN words w ON w.id = t.id".to_owned(),
        4 => "FROM images t LEFT JOIN words w ON w.id = t.grp AND w.word <> 'word 2'".to_owned(),
        5 => "FROM words w JOIN LATERAL (SELECT *, ctid FROM images p WHERE p.grp = w.id OFFSET 0) t ON true"
            .to_owned(),
        6 => "FROM (SELECT *, ctid FROM images UNION ALL SELECT *, ctid FROM parts) t".to_owned(),
        // With images that are none.
        7 | 8 => format!(
            "FROM (SELECT *, ctid FROM images UNION ALL SELECT *, ctid FROM broken WHERE id > {}) t",
            random.below(40)
        ),
        9 | 12 => "FROM (SELECT *, ctid FROM broken) t".to_owned(),
        13 => "FROM words w JOIN LATERAL (SELECT *, ctid FROM images p WHERE p.id > w.id ORDER BY p.price, p.id LIMIT nullif(w.id % 4, 3)) t
             ON w.id > 70"
            .to_owned(),
        14 => format!(
            "FROM (SELECT *, ctid, generate_series(1, 2, CASE WHEN id = {} THEN 0 ELSE 1 END) n FROM images) t",
            random.below(250)
        ),
        15 | 16 => lateral(random),
        10 => "FROM (SELECT DISTINCT ON (id) *, ctid FROM images ORDER BY id, grp) t".to_owned(),
        _ => "FROM images t".to_owned(),
    };
    format!("{from} WHERE {}", condition(random))
}

/// What starts again for each word, and is an error for some of them.
fn lateral(random: &mut Random) -> String {
    let last = random.below(120);
    let table = match random.below(9) {
        0 => format!("SELECT *, ctid FROM images p WHERE p.id < 5 LIMIT {last} - w.id"),
        1 => format!("SELECT *, ctid FROM images p WHERE p.id < 5 ORDER BY p.price LIMIT {last} - w.id OFFSET 1"),
        2 => format!("SELECT *, ctid FROM images p WHERE p.id < 8 OFFSET {last} - w.id"),
        3 => format!(
            "SELECT *, ctid FROM images TABLESAMPLE bernoulli (w.id + 100 - {last}) REPEATABLE (1) WHERE id < 5"
        ),
        4 => format!(
            "SELECT *, ctid FROM images TABLESAMPLE system (100) REPEATABLE (nullif(w.id, {last})) WHERE id < 5"
        ),
        5 => format!(
            "SELECT *, ctid, row_number() OVER (ORDER BY id ROWS {last} - w.id PRECEDING) n FROM images WHERE id < 5 OFFSET 0"
        ),
        6 => format!(
            "SELECT * FROM (SELECT *, ctid, row_number() OVER (ORDER BY id) n FROM images WHERE id < 5) p
              WHERE n <= 100 / ({last} - w.id) OFFSET 0"
        ),
        7 => format!(
            "SELECT *, ctid, rank() OVER (ORDER BY id RANGE {last} - w.id PRECEDING) n FROM images WHERE id < 5 OFFSET 0"
        ),
        _ => format!(
            "SELECT *, ctid FROM images WHERE id < 5
              ORDER BY CASE WHEN w.id < {last} OR id < 3 THEN ROW(id) ELSE ROW(price) END OFFSET 0"
        ),
    };
    let condition = random.of(&["true", "w.id < 100", "t IS NOT NULL"]);
    format!("FROM words w JOIN LATERAL ({table}) t ON {condition}")
}

pub fn condition(random: &mut Random) -> String {
    match random.below(17) {
        0 => format!("t.id > {}", random.below(100)),
        1 => format!("t.caption LIKE '%{}%'", random.below(10)),
        2 => "t.grp IN (1, 2)".to_owned(),
        3 => "t.price > 1.5".to_owned(),
        4 => "EXISTS (SELECT FROM words w WHERE w.id = t.id)".to_owned(),
        5 => format!("100 / (t.id - {}) < 1000", random.below(150)),
        6 => "random() < 2".to_owned(),
        7 => "t.image IS NOT NULL".to_owned(),
        8 => format!("t.id NOT IN (SELECT id FROM words WHERE id < {})", random.below(50)),
        9 => "t.price > (SELECT avg(price) FROM images)".to_owned(),
        10 => format!("(t.id < {} OR t.grp <> (SELECT nextval('counter') % 4))", random.below(100)),
        11 => format!(
            "(t.id < {} OR t.id > 10 / (SELECT count(*) FROM words WHERE id > {}))",
            random.below(100),
            80 + random.below(20)
        ),
        12 => {
            format!("(t.id < {} OR EXISTS (SELECT FROM words WHERE id > {}))", random.below(100), 80 + random.below(20))
        }
        _ => "true".to_owned(),
    }
}
