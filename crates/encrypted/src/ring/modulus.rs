//! Arithmetic modulo a data prime, in a form that compilers turn into vector instructions.
//!
//! Products use Montgomery's reduction with `R = 2^32` (P. Montgomery, "Modular Multiplication Without Trial
//! Division", 1985): of two factors one is kept as `x R`, the *Montgomery form*, so that the reduction's factor
//! `1/R` cancels. Constants and keys are converted once.

/// An odd prime below `2^30`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Modulus {
    pub(crate) q: u32,
    /// `-1/q` modulo `R`.
    minus_inverse: u32,
    /// `R^2` modulo `q`.
    r_squared: u32,
}

impl Modulus {
    pub(crate) fn new(q: u32) -> Self {
        assert!(q % 2 == 1 && q < 1 << 30);
        // Newton's iteration doubles the correct bits; an odd `q` is its own inverse modulo 8.
        let inverse = (0..4).fold(q, |x, _| x.wrapping_mul(2u32.wrapping_sub(q.wrapping_mul(x))));
        let r = (1u64 << 32) % u64::from(q);
        Self { q, minus_inverse: inverse.wrapping_neg(), r_squared: (r * r % u64::from(q)) as u32 }
    }

    /// `x` in Montgomery form.
    pub(crate) fn montgomery(self, x: u64) -> u32 {
        let q = u64::from(self.q);
        (((x % q) << 32) % q) as u32
    }

    /// The inverse of `x`, which must not be a multiple of `q`, in Montgomery form.
    pub(crate) fn inverse(self, x: u64) -> u32 {
        let q = u64::from(self.q);
        let (mut base, mut power, mut exponent) = (x % q, 1, q - 2);
        while exponent > 0 {
            power = if exponent % 2 == 1 { power * base % q } else { power };
            base = base * base % q;
            exponent /= 2;
        }
        self.montgomery(power)
    }

    /// A number congruent to `t / R`, at most `t / R + q`, for `t < 2^63`.
    #[inline(always)]
    pub(crate) fn reduce(self, t: u64) -> u32 {
        let m = (t as u32).wrapping_mul(self.minus_inverse);
        (t.wrapping_add(u64::from(m).wrapping_mul(u64::from(self.q))) >> 32) as u32
    }

    /// `x` modulo `bound`, for `x < 2 bound`: the smaller of `x` and the wrapped `x - bound`.
    #[inline(always)]
    pub(crate) fn below(x: u32, bound: u32) -> u32 {
        x.min(x.wrapping_sub(bound))
    }

    /// `x y` modulo `q`, fully reduced: one factor below `q` in Montgomery form, the other any `u32`.
    #[inline(always)]
    pub(crate) fn mul(self, x: u32, y: u32) -> u32 {
        Self::below(self.reduce(u64::from(x).wrapping_mul(u64::from(y))), self.q)
    }

    /// `x R` modulo `q`, fully reduced.
    #[inline(always)]
    pub(crate) fn to_montgomery(self, x: u32) -> u32 {
        self.mul(x, self.r_squared)
    }

    /// `x` modulo `q`, fully reduced, for `x < 2^32 q`.
    #[inline(always)]
    pub(crate) fn remainder(self, x: u64) -> u32 {
        self.to_montgomery(self.reduce(x))
    }

    /// `x + y` modulo `q`, for both below `q`.
    #[inline(always)]
    pub(crate) fn add(self, x: u32, y: u32) -> u32 {
        Self::below(x.wrapping_add(y), self.q)
    }

    /// `x - y` modulo `q`, for both below `q`.
    #[inline(always)]
    pub(crate) fn sub(self, x: u32, y: u32) -> u32 {
        let difference = x.wrapping_sub(y);
        difference.min(difference.wrapping_add(self.q))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_wide_integers(
            q in prop::sample::select(vec![0x3fff_4001u32, 0xfff_0001, 0x1f6_8001, 12289]),
            x in any::<u32>(),
            y in any::<u32>(),
            wide in any::<u64>(),
        ) {
            let modulus = Modulus::new(q);
            let (a, b, long) = (x % q, y % q, u64::from(q));
            let product = u64::from(x) * u64::from(b) % long;
            prop_assert_eq!(u64::from(modulus.mul(x, modulus.montgomery(u64::from(b)))), product);
            prop_assert_eq!(modulus.to_montgomery(a), modulus.montgomery(u64::from(a)));
            let wide = wide % (long << 32);
            prop_assert_eq!(u64::from(modulus.remainder(wide)), wide % long);
            prop_assert_eq!(u64::from(modulus.add(a, b)), (u64::from(a) + u64::from(b)) % long);
            prop_assert_eq!(u64::from(modulus.sub(a, b)), (u64::from(a) + long - u64::from(b)) % long);
            if a != 0 {
                prop_assert_eq!(modulus.mul(a, modulus.inverse(u64::from(a))), 1);
            }
        }
    }
}
