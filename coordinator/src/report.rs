//! Reports that the coordinator itself reads.

mod dotenv;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use fleet_model::Variable;

pub(crate) use dotenv::Error;

/// Reads an uploaded dotenv report: gzip, one member a file.
///
/// # Errors
/// [`Error`] if the job that uploads it has to fail; an I/O error otherwise.
pub(crate) fn dotenv(path: &Path) -> io::Result<Result<Vec<Variable>, Error>> {
    let mut text = Vec::new();
    let unpacked = MultiGzDecoder::new(File::open(path)?);
    match unpacked.take(dotenv::LIMIT_BYTES).read_to_end(&mut text) {
        Ok(_) => Ok(dotenv::parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Err(Error::InvalidFormat)),
        Err(error) => Err(error),
    }
}
