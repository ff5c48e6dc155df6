//! Unicode's `emoji-test.txt`: every emoji with its group, and which of them the demo takes.

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its code points as text.
    pub characters: String,
    /// Unicode's group, such as `Food & Drink`.
    pub group: String,
    /// Unicode's subgroup, such as `food-fruit`.
    pub subgroup: String,
}

impl Entry {
    /// The selection: no components, skin tones, gender variants and flags of countries and regions.
    fn is_wanted(&self) -> bool {
        if self.group == "Component" || matches!(self.subgroup.as_str(), "country-flag" | "subdivision-flag") {
            return false;
        }
        let has = |test: fn(char) -> bool| self.characters.chars().any(test);
        // Joined to something else, a man or a woman is a variant of a neutral person, couple or family.
        let is_variant_of_a_person = has(is_joiner) && has(is_man_or_woman);
        !has(is_skin_tone) && !has(is_gender_sign) && !is_variant_of_a_person
    }
}

fn is_skin_tone(c: char) -> bool {
    ('\u{1F3FB}'..='\u{1F3FF}').contains(&c)
}

fn is_gender_sign(c: char) -> bool {
    matches!(c, '\u{2640}' | '\u{2642}')
}

fn is_joiner(c: char) -> bool {
    c == '\u{200D}'
}

fn is_man_or_woman(c: char) -> bool {
    matches!(c, '\u{1F468}' | '\u{1F469}')
}

/// The wanted, fully-qualified entries of `emoji-test.txt`, in its order.
pub fn read_list(text: &str) -> Vec<Entry> {
    let (mut group, mut subgroup) = ("", "");
    let mut entries = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# group:") {
            group = name.trim();
        } else if let Some(name) = line.strip_prefix("# subgroup:") {
            subgroup = name.trim();
        } else if let Some(characters) = fully_qualified(line) {
            entries.push(Entry { characters, group: group.to_owned(), subgroup: subgroup.to_owned() });
        }
    }
    entries.retain(Entry::is_wanted);
    entries
}

/// The text that a line such as `263A FE0F ; fully-qualified # ☺️ E0.6 smiling face` is about.
fn fully_qualified(line: &str) -> Option<String> {
    let (code_points, rest) = line.split_once(';')?;
    if line.starts_with('#') || !rest.trim_start().starts_with("fully-qualified") {
        return None;
    }
    code_points.split_whitespace().map(|hex| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
# emoji-test.txt
# group: People & Body
# subgroup: person-role
1F9D1 200D 1F680      ; fully-qualified     # 🧑‍🚀 E12.1 astronaut
1F9D1 1F3FB 200D 1F680 ; fully-qualified    # light skin tone
1F468 200D 1F680      ; fully-qualified     # 👨‍🚀 E4.0 man astronaut
1F468                 ; fully-qualified     # 👨 E0.6 man
1F3C3 200D 2640 FE0F  ; fully-qualified     # woman running
263A                  ; unqualified         # ☺ E0.6 smiling face
# group: Component
1F9B0                 ; fully-qualified     # 🦰 red hair
# group: Flags
# subgroup: flag
1F3C1                 ; fully-qualified     # 🏁 chequered flag
# subgroup: country-flag
1F1E6 1F1E8           ; fully-qualified     # Ascension Island
#EOF
";

    #[test]
    fn takes_neutral_and_plain_emoji_only() {
        let entries = read_list(LIST);
        let found: Vec<&str> = entries.iter().map(|entry| entry.characters.as_str()).collect();
        assert_eq!(found, ["\u{1F9D1}\u{200D}\u{1F680}", "\u{1F468}", "\u{1F3C1}"]);
        assert_eq!((entries[0].group.as_str(), entries[0].subgroup.as_str()), ("People & Body", "person-role"));
    }

    #[test]
    fn passes_over_lines_that_are_not_entries() {
        assert_eq!(read_list("nonsense\n\nZZZZ ; fully-qualified\nD800 ; fully-qualified # a surrogate\n"), []);
    }
}
