//! Things that are dear to make and used by one thread at a time: kept when they are idle, so there are as many as threads
//! that ever used one at the same time.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) struct Pool<T> {
    idle: Mutex<Vec<T>>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { idle: Mutex::default() }
    }
}

impl<T> Pool<T> {
    fn idle(&self) -> MutexGuard<'_, Vec<T>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one that was made elsewhere.
    pub(crate) fn put(&self, thing: T) {
        self.idle().push(thing);
    }

    /// Has an idle one `work`, or what `make` makes. One that failed is not used again: what state it is in is not known.
    pub(crate) fn with<R, E>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
        work: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<R, E> {
        // A statement of its own: the lock is not held while the thing works.
        let taken = self.idle().pop();
        let mut thing = taken.map_or_else(make, Ok)?;
        let result = work(&mut thing)?;
        self.put(thing);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_thing_is_used_again_and_one_that_failed_is_not() {
        let pool = Pool::default();
        let make = |number: u32| move || Ok::<_, ()>(number);
        assert_eq!(pool.with(make(1), |thing| Ok(*thing)), Ok(1));
        assert_eq!(pool.with(make(2), |thing| Ok(*thing)), Ok(1));
        assert_eq!(pool.with(make(3), |_| Err::<u32, _>(())), Err(()));
        assert_eq!(pool.with(make(4), |thing| Ok(*thing)), Ok(4));
        // While one works, another thread gets one of its own.
        let both = pool.with(make(5), |outer| pool.with(make(6), |inner| Ok((*outer, *inner))));
        assert_eq!(both, Ok((4, 6)));
        assert_eq!(pool.with(|| Err(()), |thing| Ok(*thing)), Ok(4));
    }
}
