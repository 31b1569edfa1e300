//! How many trainings an audit needs, before any is run.
//!
//! A pair of trainings with m canaries each has a mean error over 2m guesses. Where those are wrong with
//! probability e, the pair's mean error has the variance v = e (1 - e) / 2m. From n pairs, the bound of
//! [`super::betting`] ends about `sqrt(2 ln(1/alpha) v / n) + ln(1/alpha) / n` above their mean, which itself lies within
//! `2.33 sqrt(v / n)` of e in 99 of 100 audits. Both together must fit between e and the error that still shows what is wanted, such as
//! Phi(-mu/2) for a mu of Gaussian DP.
//!
//! This decides how much is run and nothing else: bounds hold for any number of trainings.

/// The quantile of the normal distribution at 99 %.
const CHANCE: f64 = 2.33;
/// What the bets lose against the formula above; see the test of [`super::betting`].
const BETS: f64 = 1.1;

/// The pairs of trainings, with so many canaries each, that show a mean error of at most `shown` where guesses have a mean error of
/// `error`, in 99 of 100 audits, with a bound that is wrong with probability at most `alpha`; `None` if
/// no number does, because `error` is not below `shown`.
pub fn pairs_to_show(shown: f64, error: f64, canaries: usize, alpha: f64) -> Option<usize> {
    let room = shown - error;
    if room.is_nan() || room <= 0.0 {
        return None;
    }
    let variance = error * (1.0 - error) / (2 * canaries.max(1)) as f64;
    let surprise = -alpha.ln();
    // room = a / sqrt(n) + surprise / n, solved for sqrt(n).
    let a = (BETS * (2.0 * surprise).sqrt() + CHANCE) * variance.sqrt();
    let root = (a + (a * a + 4.0 * room * surprise).sqrt()) / (2.0 * room);
    Some((root * root).ceil() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accountant::normal::survival;
    use crate::audit::Losses;
    use crate::audit::crowd::mu_of_pairs;
    use crate::audit::testkit::Uniform;

    #[test]
    fn so_many_pairs_show_what_they_should() {
        let mut random = Uniform::new(8);
        for (shown, mu, canaries, alpha) in
            [(0.26, 0.3, 128, 0.05), (1.7, 1.8, 64, 0.05), (0.3, 0.6, 32, 1e-4)]
        {
            let error = survival(mu / 2.0);
            let pairs = pairs_to_show(survival(shown / 2.0), error, canaries, alpha).unwrap();
            let mut missed = 0;
            for _ in 0..100 {
                let errors: Vec<f64> = (0..pairs)
                    .map(|_| {
                        let wrong = (0..2 * canaries).filter(|_| random.next() < error).count();
                        wrong as f64 / (2 * canaries) as f64
                    })
                    .collect();
                missed +=
                    usize::from(mu_of_pairs(Losses::GaussianDp, &errors, canaries, pairs, alpha) < shown);
            }
            // One is expected; seven have a probability below 1e-4.
            assert!(missed < 7, "{shown} of {mu}: {missed} of 100 audits of {pairs} pairs");
        }
    }

    #[test]
    fn nobody_shows_more_than_there_is() {
        assert_eq!(pairs_to_show(0.45, 0.45, 128, 0.05), None);
        assert_eq!(pairs_to_show(f64::NAN, 0.45, 128, 0.05), None);
        // A quarter of the room takes up to 16 times the pairs, and 4 times where the second term rules.
        let [near, far] = [0.29, 0.26]
            .map(|shown: f64| pairs_to_show(survival(shown / 2.0), survival(0.15), 128, 0.05).unwrap());
        assert!(near > 4 * far && near < 16 * far, "{near} {far}");
    }
}
