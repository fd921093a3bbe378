//! How glibc's allocator shares memory among threads. Other platforms keep their own ways.

/// Keep no more heaps than the processors can use at once.
///
/// By default glibc gives eight to a processor, and each keeps what its threads have freed: memory that others then ask
/// the system for anew. Measured on two processors, a training set of 1 M rows took 15 % less memory and 7 % less time
/// with two heaps than with sixteen, and an ingest of wide rows mapped a third of the data. To be called before the
/// first thread starts.
pub(crate) fn bound_heaps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let heaps = libc::c_int::try_from(processors.max(2)).unwrap_or(libc::c_int::MAX);
        #[expect(unsafe_code, reason = "the C library has no other way to be told")]
        // SAFETY: it takes two integers, touches no memory of ours, and no other thread runs yet; refused, it changes nothing
        let _done = unsafe { libc::mallopt(libc::M_ARENA_MAX, heaps) };
    }
}
