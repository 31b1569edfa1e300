//! Elements of tensors, and their bytes.

use std::io::Read;

use safetensors::tensor::Dtype;

use crate::error::Result;

/// A tensor of one of the element types that our files use.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the variants are their element types
pub enum Data {
    U8(Vec<u8>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// How many bytes are read or written at a time, whole elements of every type.
const PART: usize = 1 << 18;

impl Data {
    /// How many elements.
    #[allow(clippy::len_without_is_empty)] // nobody asks
    pub fn len(&self) -> usize {
        match self {
            Data::U8(v) => v.len(),
            Data::U32(v) => v.len(),
            Data::U64(v) => v.len(),
            Data::F32(v) => v.len(),
            Data::F64(v) => v.len(),
        }
    }

    /// The elements' type.
    pub(super) fn dtype(&self) -> Dtype {
        match self {
            Data::U8(_) => Dtype::U8,
            Data::U32(_) => Dtype::U32,
            Data::U64(_) => Dtype::U64,
            Data::F32(_) => Dtype::F32,
            Data::F64(_) => Dtype::F64,
        }
    }

    /// Gives the elements' bytes part by part.
    pub(super) fn put(&self, out: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        fn each<const N: usize, T: Copy>(
            elements: &[T],
            out: &mut impl FnMut(&[u8]) -> Result<()>,
            convert: fn(T) -> [u8; N],
        ) -> Result<()> {
            elements.chunks(PART / N).try_for_each(|part| {
                let bytes: Vec<u8> = part.iter().flat_map(|&x| convert(x)).collect();
                out(&bytes)
            })
        }
        match self {
            Data::U8(v) => out(v),
            Data::U32(v) => each(v, out, u32::to_le_bytes),
            Data::U64(v) => each(v, out, u64::to_le_bytes),
            Data::F32(v) => each(v, out, f32::to_le_bytes),
            Data::F64(v) => each(v, out, f64::to_le_bytes),
        }
    }

    /// Reads the elements of a tensor of so many bytes; `None` for an element type that is not ours. `room` is how many bytes of
    /// elements there is room for from the beginning.
    pub(super) fn read(
        input: &mut impl Read,
        dtype: Dtype,
        bytes: usize,
        room: usize,
    ) -> std::io::Result<Option<Data>> {
        fn each<const N: usize, T>(
            input: &mut impl Read,
            (mut left, room): (usize, usize),
            convert: fn([u8; N]) -> T,
        ) -> std::io::Result<Vec<T>> {
            let mut all = Vec::with_capacity(room / N);
            let mut part = vec![0; PART.min(left)];
            while left > 0 {
                let part = &mut part[..PART.min(left)];
                input.read_exact(part)?;
                all.extend(part.as_chunks::<N>().0.iter().map(|c| convert(*c)));
                left -= part.len();
            }
            Ok(all)
        }
        let sizes = (bytes, room);
        Ok(Some(match dtype {
            Dtype::U8 => Data::U8(each(input, sizes, u8::from_le_bytes)?),
            Dtype::U32 => Data::U32(each(input, sizes, u32::from_le_bytes)?),
            Dtype::U64 => Data::U64(each(input, sizes, u64::from_le_bytes)?),
            Dtype::F32 => Data::F32(each(input, sizes, f32::from_le_bytes)?),
            Dtype::F64 => Data::F64(each(input, sizes, f64::from_le_bytes)?),
            _ => return Ok(None),
        }))
    }
}
