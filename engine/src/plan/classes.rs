//! Orders that differ in nothing that can matter, counted together.
//!
//! Two items *meet* where it can matter which of them comes first. Orders in which every pair that meets
//! stands the same way round are one *class* (a trace of Mazurkiewicz, 1977): each follows from the others by
//! exchanging neighbours that do not meet. The least of them, by number from the front, stands for its class;
//! the others are counted, not visited. Ten items have 3,628,800 orders, and often only some ten thousand
//! classes.

/// The classes of the orders of up to [`Classes::MOST`] items.
#[derive(Clone, Debug)]
pub struct Classes {
    /// of each item, a bit for every other that it meets
    meets: Vec<u64>,
    /// of each item, a bit for every other that must come before it; those meet, too
    after: Vec<u64>,
}

/// One of several equal parts of a walk, so that several threads or processes can share it.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// which of them, from 0
    pub number: usize,
    /// how many there are
    pub of: usize,
}

impl Part {
    /// Everything in one part.
    pub const WHOLE: Part = Part { number: 0, of: 1 };
}

/// The items in an order, and what it takes to know whether it is the least of its class.
struct Walk<'a> {
    classes: &'a Classes,
    part: Part,
    /// how many branches have been met at the depth where parts are dealt out
    branches: usize,
    word: Vec<usize>,
    count: Count,
    tell: &'a mut dyn FnMut(&[usize], u128),
}

impl Classes {
    /// So many items at most: a set of them is a number, and the factorial of their count, too.
    pub const MOST: usize = 32;
    /// At this depth of the tree its branches are dealt out to the parts.
    const DEALT: usize = 4;

    /// `meets` need not say again what `after` says: what must come before another meets it.
    /// `None` where there are more than [`Classes::MOST`] items.
    pub fn new(items: usize, meets: impl Fn(usize, usize) -> bool, after: &[(usize, usize)]) -> Option<Self> {
        if items > Self::MOST {
            return None;
        }
        let mut classes = Classes { meets: vec![0; items], after: vec![0; items] };
        for (first, second) in after.iter().copied().filter(|(f, s)| *f < items && *s < items) {
            classes.after[second] |= 1 << first;
            classes.meets[second] |= 1 << first;
            classes.meets[first] |= 1 << second;
        }
        for a in 0..items {
            for b in (0..items).filter(|b| a != *b && (meets(a, *b) || meets(*b, a))) {
                classes.meets[a] |= 1 << b;
                classes.meets[b] |= 1 << a;
            }
        }
        Some(classes)
    }

    /// How many orders keep what must come before what.
    pub fn allowed(&self) -> u128 {
        Count::default().of(&self.after)
    }

    /// Every class of this part whose orders keep what must come before what: its least order, and how many
    /// orders it has.
    pub fn walk(&self, part: Part, tell: &mut dyn FnMut(&[usize], u128)) {
        let mut walk =
            Walk { classes: self, part, branches: 0, word: Vec::new(), count: Count::default(), tell };
        walk.go(0, 0);
    }

    /// The least order of the class that this order belongs to; `None` where it does not keep what must come
    /// before what.
    pub fn least(&self, order: &[usize]) -> Option<Vec<usize>> {
        let before = self.before(order);
        let kept = |item: &usize| self.after[*item] & !before[*item] == 0;
        if !order.iter().all(kept) {
            return None;
        }
        let mut least = Vec::with_capacity(order.len());
        let mut done = 0;
        while let Some(next) =
            (0..before.len()).find(|item| done & 1 << item == 0 && before[*item] & !done == 0)
        {
            done |= 1 << next;
            least.push(next);
        }
        Some(least)
    }

    /// Of each item those that it meets and that come before it in this order.
    fn before(&self, order: &[usize]) -> Vec<u64> {
        let mut before = vec![0; self.meets.len()];
        let mut done = 0_u64;
        for item in order {
            before[*item] = self.meets[*item] & done;
            done |= 1 << item;
        }
        before
    }
}

impl Walk<'_> {
    /// `smaller`: items that may not come next, because the order would be less with them further forward.
    fn go(&mut self, done: u64, smaller: u64) {
        let Classes { meets, after } = self.classes;
        let items = meets.len();
        if self.word.len() == Classes::DEALT.min(items) {
            self.branches += 1;
            if (self.branches - 1) % self.part.of.max(1) != self.part.number {
                return;
            }
        }
        if self.word.len() == items {
            let orders = self.count.of(&self.classes.before(&self.word));
            return (self.tell)(&self.word, orders);
        }
        for next in 0..items {
            let bit = 1 << next;
            if (done | smaller) & bit == 0 && after[next] & !done == 0 {
                self.word.push(next);
                self.go(done | bit, (smaller | (bit - 1)) & !meets[next]);
                self.word.pop();
            }
        }
    }
}

/// Counts orders by the sets that they begin with.
#[derive(Default)]
struct Count {
    /// sets of one size, and how many orders each has
    sets: Vec<(u64, u128)>,
    larger: Vec<(u64, u128)>,
}

impl Count {
    /// How many orders put, before each item, all that these say.
    fn of(&mut self, before: &[u64]) -> u128 {
        self.sets.clear();
        self.sets.push((0, 1));
        for _ in 0..before.len() {
            self.larger.clear();
            for (set, orders) in &self.sets {
                for (item, before) in before.iter().enumerate() {
                    if set & 1 << item == 0 && before & !set == 0 {
                        self.larger.push((set | 1 << item, *orders));
                    }
                }
            }
            self.larger.sort_unstable_by_key(|(set, _)| *set);
            self.sets.clear();
            for (set, orders) in self.larger.drain(..) {
                match self.sets.last_mut() {
                    Some((last, sum)) if *last == set => *sum += orders,
                    _ => self.sets.push((set, orders)),
                }
            }
        }
        self.sets.last().map_or(0, |(_, orders)| *orders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn permutations(items: usize) -> Vec<Vec<usize>> {
        let mut all = vec![Vec::new()];
        for _ in 0..items {
            let longer = |order: Vec<usize>| {
                let free: Vec<usize> = (0..items).filter(|i| !order.contains(i)).collect();
                free.into_iter().map(move |next| [order.clone(), vec![next]].concat())
            };
            all = all.into_iter().flat_map(longer).collect();
        }
        all
    }

    fn classes(classes: &Classes, part: Part) -> BTreeMap<Vec<usize>, u128> {
        let mut found = BTreeMap::new();
        classes.walk(part, &mut |order, count| {
            assert_eq!(found.insert(order.to_vec(), count), None, "visited twice");
        });
        found
    }

    #[test]
    fn what_meets_nothing_is_one_class_and_what_meets_all_is_one_each() {
        let free = Classes::new(5, |_, _| false, &[]).unwrap();
        assert_eq!(classes(&free, Part::WHOLE), BTreeMap::from([(vec![0, 1, 2, 3, 4], 120)]));
        let bound = Classes::new(5, |_, _| true, &[]).unwrap();
        assert_eq!(classes(&bound, Part::WHOLE).len(), 120);
        assert_eq!(bound.allowed(), 120);
        assert_eq!(classes(&Classes::new(0, |_, _| true, &[]).unwrap(), Part::WHOLE).len(), 1);
        assert!(Classes::new(Classes::MOST + 1, |_, _| false, &[]).is_none());
        assert_eq!(Classes::new(13, |_, _| false, &[]).unwrap().allowed(), 6_227_020_800);
    }

    proptest! {
        /// Against the definition: neighbours that do not meet are exchanged until nothing new comes.
        #[test]
        fn every_order_is_in_the_class_that_exchanges_lead_to(
            items in 0usize..=6,
            pairs in prop::collection::vec((0usize..6, 0usize..6), 0..9),
            musts in prop::collection::vec((0usize..6, 0usize..6), 0..3),
            parts in 1usize..5,
        ) {
            let musts: Vec<_> = musts.into_iter().filter(|(a, b)| a != b && *a < items && *b < items).collect();
            let meets = |a: usize, b: usize| {
                let of = |list: &[(usize, usize)]| list.contains(&(a, b)) || list.contains(&(b, a));
                of(&pairs) || of(&musts)
            };
            let made = Classes::new(items, |a, b| pairs.contains(&(a, b)), &musts).unwrap();
            let place = |order: &[usize], item| order.iter().position(|i| *i == item);
            let kept = |order: &Vec<usize>| musts.iter().all(|(a, b)| place(order, *a) < place(order, *b));
            let mut left: BTreeSet<Vec<usize>> = permutations(items).into_iter().filter(kept).collect();
            prop_assert_eq!(made.allowed(), left.len() as u128);
            let mut expected = BTreeMap::new();
            while let Some(least) = left.pop_first() {
                let mut waiting = vec![least.clone()];
                let mut count = 0;
                while let Some(order) = waiting.pop() {
                    count += 1;
                    prop_assert_eq!(made.least(&order), Some(least.clone()));
                    for i in 1..items {
                        let mut other = order.clone();
                        other.swap(i - 1, i);
                        if !meets(order[i - 1], order[i]) && left.remove(&other) {
                            waiting.push(other);
                        }
                    }
                }
                expected.insert(least, count);
            }
            prop_assert_eq!(&classes(&made, Part::WHOLE), &expected);
            let mut dealt = BTreeMap::new();
            for number in 0..parts {
                dealt.append(&mut classes(&made, Part { number, of: parts }));
            }
            prop_assert_eq!(dealt, expected);
            for order in permutations(items).iter().filter(|order| !kept(order)) {
                prop_assert_eq!(made.least(order), None);
            }
        }
    }
}
