use std::future::pending;

use super::*;

fn spool(folder: &Path, taken: Option<watch::Receiver<u64>>) -> (Writer, Reader) {
    let file = Arc::new(create(folder).unwrap());
    let writer = Writer::new(Arc::clone(&file), taken);
    let reader = Reader::new(file, writer.grown());
    (writer, reader)
}

#[tokio::test]
async fn reader_gets_every_byte_in_pieces_and_then_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = spool(&dir.path().join("1"), None);
    (&mut writer).append(b"hello ");
    (&mut writer).append(b"world");
    assert_eq!(
        reader.next(0, 4).await.unwrap(),
        Some(Bytes::from_static(b"hell"))
    );
    assert_eq!(
        reader.next(4, 100).await.unwrap(),
        Some(Bytes::from_static(b"o world"))
    );
    let (next, ()) = tokio::join!(reader.next(11, 100), async {
        (&mut writer).append(b"!");
        drop(writer);
    });
    assert_eq!(next.unwrap(), Some(Bytes::from_static(b"!")));
    assert_eq!(reader.next(12, 100).await.unwrap(), None);
    assert_eq!(
        reader.extent(),
        Extent {
            size: 12,
            closed: true
        }
    );
}

#[tokio::test]
async fn output_waits_while_the_coordinator_lacks_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let (taken, coordinator) = watch::channel(0);
    let (mut writer, _reader) = spool(&dir.path().join("1"), Some(coordinator));
    // Nothing of it is on the disk but its size.
    writer.size = UNSENT_LIMIT_BYTES;
    let mut sink = &mut writer;
    assert!(sink.room().is_none());
    sink.append(b"!");
    let ((), ()) = tokio::join!(sink.room().unwrap(), async {
        taken.send_replace(1);
    });
    assert!(sink.room().is_none());
}

#[tokio::test]
async fn what_a_full_disk_does_not_take_is_kept_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = spool(&dir.path().join("1"), None);
    let disk = Arc::clone(&writer.file);
    writer.file = Arc::new(File::options().write(true).open("/dev/full").unwrap());
    let mut sink = &mut writer;
    sink.append(b"one ");
    sink.append(b"two");
    assert!(sink.room().is_some());
    assert_eq!(*sink.grown().borrow(), Extent::default());
    writer.file = disk;
    writer.settle(pending()).await;
    assert_eq!(std::fs::read(dir.path().join("1/log")).unwrap(), b"one two");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_full_disk_can_be_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, reader) = spool(&dir.path().join("1"), None);
    writer.file = Arc::new(File::options().write(true).open("/dev/full").unwrap());
    (&mut writer).append(b"lost");
    writer.settle(sleep(Duration::from_secs(60))).await;
    drop(writer);
    assert_eq!(
        reader.extent(),
        Extent {
            size: 0,
            closed: true
        }
    );
}
