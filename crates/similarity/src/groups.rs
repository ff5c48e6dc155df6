//! Groups of what is connected by pairs.

/// The group of each of `count` items, from 0: two items of a pair are in one. Large groups come first, then those whose
/// first item comes first. An item without a pair is a group by itself.
pub fn groups(count: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..count).collect();
    for (a, b) in pairs {
        let (a, b) = (root(&mut parents, a), root(&mut parents, b));
        // The first item of a group is its root.
        parents[a.max(b)] = a.min(b);
    }
    let roots: Vec<usize> = (0..count).map(|item| root(&mut parents, item)).collect();
    let mut sizes = vec![0usize; count];
    roots.iter().for_each(|root| sizes[*root] += 1);
    let mut order: Vec<usize> = (0..count).filter(|item| roots[*item] == *item).collect();
    order.sort_by_key(|root| (std::cmp::Reverse(sizes[*root]), *root));
    let mut numbers = vec![0; count];
    order.iter().enumerate().for_each(|(number, root)| numbers[*root] = number);
    roots.into_iter().map(|root| numbers[root]).collect()
}

fn root(parents: &mut [usize], mut item: usize) -> usize {
    while parents[item] != item {
        // Halves the way for the next one.
        parents[item] = parents[parents[item]];
        item = parents[item];
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_connect() {
        assert_eq!(groups(0, []), []);
        assert_eq!(groups(3, []), [0, 1, 2]);
        assert_eq!(groups(6, [(5, 4), (1, 2), (4, 1)]), [1, 0, 0, 2, 0, 0]);
        assert_eq!(groups(4, [(2, 3), (0, 1)]), [0, 0, 1, 1]);
    }

    #[test]
    fn a_long_chain_is_one_group() {
        const COUNT: usize = 1_000_000;
        let chain = (1..COUNT).rev().map(|item| (item, item - 1));
        assert!(groups(COUNT, chain).iter().all(|group| *group == 0));
    }
}
