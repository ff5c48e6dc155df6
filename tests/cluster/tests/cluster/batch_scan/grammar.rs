//! Statements at random, from a small grammar: what may stand around a call that can be batched.

use super::tables::{condition, from_where};

/// Pseudo-random numbers, the same in each run: xorshift64*.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// What a statement is made of, and what it leaves behind.
pub struct Statement {
    /// One or more statements, run in one transaction.
    pub parts: Vec<String>,
    /// Whether EXPLAIN understands the first of them.
    pub is_explainable: bool,
}

pub fn statement(random: &mut Random) -> Statement {
    let one = |sql: String| Statement { parts: vec![sql], is_explainable: true };
    match random.below(15) {
        0..=4 => one(query(random)),
        5 => one(format!("INSERT INTO sink (a, b, c) {}", three(random))),
        6 => Statement {
            parts: vec![format!("CREATE TABLE made AS {}", query(random)), "SELECT * FROM made".to_owned()],
            is_explainable: true,
        },
        7 => one(update(random)),
        8 => Statement {
            parts: vec![format!(
                "INSERT INTO sink (a, b, c) {} ON CONFLICT DO NOTHING RETURNING a, b, c",
                three(random)
            )],
            is_explainable: true,
        },
        9 => one(format!("WITH q AS MATERIALIZED ({}) SELECT * FROM q LIMIT {}", query(random), random.below(30))),
        10 => cursor(random),
        11 => generic(random),
        12 => stepwise(random),
        13 => one(alike(random)),
        _ => looped(random),
    }
}

fn query(random: &mut Random) -> String {
    let columns: Vec<String> = (0..=random.below(3)).map(|i| format!("{} AS c{i}", expression(random))).collect();
    let sure = call(random);
    let mut sql = format!("SELECT t.id, {sure} AS sure, {} {}", columns.join(", "), from_where(random));
    if random.one_in(8) {
        sql = format!("({sql}) UNION ALL ({sql})");
    } else if random.one_in(2) {
        sql += random.of(&[" ORDER BY t.id", " ORDER BY t.grp, t.id DESC", " ORDER BY t.caption, t.id"]);
    }
    sql += &limit(random);
    if random.one_in(6) {
        sql = format!("SELECT * FROM ({sql}) AS inner_one{}", limit(random));
    }
    sql
}

fn three(random: &mut Random) -> String {
    let tail = format!("{}{}", from_where(random), limit(random));
    let third = random.of(&["nextval('counter')", "t.grp", "t.id"]);
    format!("SELECT t.id, {}, {third} {tail}", call(random))
}

fn update(random: &mut Random) -> String {
    let condition = condition(random);
    let call = call(random);
    match random.below(4) {
        0 => format!("UPDATE parts t SET made = {call}, grp = grp + 1 WHERE {condition}"),
        1 => format!(
            "UPDATE images t SET made = {call} FROM words w WHERE w.id = t.id AND {condition} RETURNING t.id, t.made, w.word"
        ),
        2 => format!("UPDATE images t SET (made, grp) = ROW({call}, t.grp) WHERE {condition} RETURNING t.*"),
        _ => {
            format!("UPDATE images t SET made = {call} WHERE {condition} RETURNING t.id, nextval('counter'), t.made")
        }
    }
}

fn cursor(random: &mut Random) -> Statement {
    let scroll = random.of(&["", "", "NO SCROLL", "SCROLL"]);
    let mut parts = vec![format!("DECLARE c {scroll} CURSOR FOR {}", query(random))];
    for _ in 0..3 + random.below(6) {
        let rows = random.below(40);
        parts.push(match random.below(if scroll == "NO SCROLL" { 2 } else { 6 }) {
            0 | 1 | 4 => format!("FETCH {rows} FROM c"),
            2 => format!("FETCH BACKWARD {rows} FROM c"),
            3 => format!("FETCH ABSOLUTE {rows} FROM c"),
            _ => random
                .of(&["FETCH LAST FROM c", "FETCH PRIOR FROM c", "MOVE FIRST FROM c", "FETCH ALL FROM c"])
                .to_owned(),
        });
    }
    Statement { parts, is_explainable: true }
}

fn looped(random: &mut Random) -> Statement {
    let (query, last) = (three(random), random.below(60));
    let body = format!(
        "DO $$ DECLARE r record; n integer := 0; BEGIN
             FOR r IN {query} LOOP
                 n := n + 1; INSERT INTO log VALUES ('loop ' || r.id || ' ' || n); EXIT WHEN n > {last};
             END LOOP;
         END $$"
    );
    Statement { parts: vec![body], is_explainable: false }
}

/// A plan that does not know its parameters.
fn generic(random: &mut Random) -> Statement {
    let statement = format!(
        "PREPARE p(integer, integer) AS SELECT t.id, {} FROM images t WHERE {} LIMIT $1",
        call(random),
        with_parameter(random, "$2")
    );
    let execute = format!("EXECUTE p({}, {})", 1 + random.below(60), random.below(3));
    let parts = vec![
        "DEALLOCATE ALL".to_owned(),
        "SET LOCAL plan_cache_mode = force_generic_plan".to_owned(),
        statement,
        execute,
    ];
    Statement { parts, is_explainable: false }
}

/// The same, asked for row by row.
fn stepwise(random: &mut Random) -> Statement {
    let body = format!(
        "DO $$ DECLARE
             z integer := {};
             c CURSOR FOR SELECT t.id, {} AS made FROM images t WHERE {};
             r record;
         BEGIN
             SET LOCAL plan_cache_mode = force_generic_plan;
             OPEN c;
             FOR i IN 1..{} LOOP
                 FETCH c INTO r;
                 EXIT WHEN NOT FOUND;
                 RAISE NOTICE '% %', r.id, r.made IS NULL;
             END LOOP;
         END $$",
        random.below(3),
        call(random),
        with_parameter(random, "z"),
        1 + random.below(70)
    );
    Statement { parts: vec![body], is_explainable: false }
}

fn with_parameter(random: &mut Random, parameter: &str) -> String {
    let id = random.below(100);
    match random.below(4) {
        0 => format!("t.id < {id} OR t.id > 100 / {parameter}"),
        1 => format!("t.id < {id} OR t.grp = {parameter}"),
        2 => format!("CASE WHEN t.id < {id} THEN true ELSE t.id % 7 > 6 / {parameter} END"),
        _ => format!("t.id <> 100 / {parameter}"),
    }
}

/// Equal images and texts have equal vectors.
fn alike(random: &mut Random) -> String {
    let tail = format!("{} AS e {}", call(random), from_where(random));
    match random.below(3) {
        0 => format!("SELECT count(*) FROM (SELECT DISTINCT {tail}) s"),
        1 => {
            format!("SELECT count(*), sum(n) FROM (SELECT e, count(*) n FROM (SELECT {tail} OFFSET 0) s GROUP BY e) s")
        }
        _ => format!("SELECT count(*) FROM (SELECT {tail} UNION SELECT {tail}) s"),
    }
}

fn limit(random: &mut Random) -> String {
    match random.below(6) {
        0 => format!(" LIMIT {}", random.below(40)),
        1 => format!(" LIMIT {} OFFSET {}", random.below(40), random.below(20)),
        2 => format!(" LIMIT (SELECT {})", random.below(40)),
        _ => String::new(),
    }
}

fn model(random: &mut Random) -> &'static str {
    random.of(&["", "", ", 'golden/small'"])
}

fn call(random: &mut Random) -> String {
    let model = model(random);
    match random.below(9) {
        0..=3 => {
            let text = random.of(&[
                "t.caption",
                "t.caption",
                "lower(t.caption)",
                "t.caption || ' again'",
                "'number ' || t.id",
                "coalesce(t.caption, 'none')",
                "t.caption::varchar(5)",
                "substr(t.caption, 3)",
                "CASE WHEN t.grp = 1 THEN t.caption ELSE 'other' END",
            ]);
            format!("clip_embed_text({text}{model})")
        }
        4..=6 => format!("clip_try_embed_image({}{model})", image(random)),
        _ => format!("clip_embed_image({}{model})", image(random)),
    }
}

fn image(random: &mut Random) -> &'static str {
    random.of(&[
        "t.image",
        "t.image",
        "t.image",
        "coalesce(t.image, (SELECT image FROM images WHERE id = 3))",
        "t.large",
    ])
}

fn expression(random: &mut Random) -> String {
    match random.below(19) {
        0 => format!("vector_dims({})", call(random)),
        1 => format!("{0} <=> {0}", call(random)),
        2 => format!("CASE WHEN t.id % 3 = 0 THEN {} END", call(random)),
        3 => format!("COALESCE({}, clip_embed_text('nothing'))", call(random)),
        4 => format!("{} IS NULL", call(random)),
        5 => format!("ROW({}, t.grp)", call(random)),
        6 => format!("ARRAY[{}, {}]", call(random), call(random)),
        7 => format!("{}::real[]", call(random)),
        8 | 9 => "nextval('counter')".to_owned(),
        10 => format!("100 / (t.id - {})", random.below(150)),
        11 => "t.ctid".to_owned(),
        12 => "(SELECT count(*) FROM words w WHERE w.id < t.id)".to_owned(),
        13 => "t.image".to_owned(),
        14 => "t".to_owned(),
        15 => "(SELECT count(e) FROM (SELECT clip_embed_text(w.word) e FROM words w ORDER BY w.word LIMIT nullif(t.grp, 2)) s)"
            .to_owned(),
        16 => format!(
            "(SELECT count(e) FROM words v LEFT JOIN (SELECT clip_embed_text(w.word) e FROM words w ORDER BY w.word LIMIT t.grp + {}) s
              ON true WHERE v.id < 3)",
            random.below(3)
        ),
        17 => format!(
            "set_config('clip_search.model', CASE WHEN t.id % 10 < {} THEN 'clip-search/emoji' ELSE 'golden/small' END, true)",
            random.below(10)
        ),
        _ => call(random),
    }
}
