//! Commands for many uploads at once: those of a folder, those that were marked, a whole queue.

use crate::support::engine::{self, Making, World};
use futures_util::{FutureExt as _, future};
use reelhaul::{
    engine::{
        protocol::{
            Command, Filter, FolderId, Folds, Place, Query, Reply, State, Targets, Window,
            WindowQuery,
        },
        queue::Queue,
    },
    identity::Identity,
    session::Change,
};

/// A queue of so many paused files, a hundred in a folder. None of them is there.
fn paused(files: u32) -> Queue {
    let mut queue = Queue::default();
    for number in 0..files {
        let path = format!("/gone/{:04}/clip-{number}.mp4", number / 100);
        let kept = queue
            .add(path.into(), Identity::new(9, 1, 0, 1), false)
            .unwrap();
        queue.apply(kept.id, &Change::Paused);
    }
    queue
}

async fn with(queue: Queue) -> World {
    let making = Making {
        queue,
        ..Making::default()
    };
    World::new(engine::jwplayer, making).await
}

async fn tree(world: &World, filter: &Filter) -> Window {
    let query = WindowQuery {
        filter: filter.clone(),
        rows: 1000,
        tree: Some(Folds {
            all: true,
            ..Folds::default()
        }),
        ..WindowQuery::default()
    };
    match world.handle.query(Query::Window(query)).await.unwrap() {
        Reply::Window(window) => window,
        other => panic!("{other:?}"),
    }
}

/// How many of the files in the folders of this window are in this state.
fn of(window: &Window, state: State) -> usize {
    let folders = window.lines.iter().filter_map(|line| line.folder());
    folders.map(|folder| folder.totals.counts.of(state)).sum()
}

fn folder(window: &Window, name: &str) -> FolderId {
    let mut folders = window.lines.iter().filter_map(|line| line.folder());
    folders
        .find(|folder| folder.name.as_os_str() == name)
        .unwrap()
        .id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_answers_while_it_does_something_to_very_many_files_and_then_the_next_thing() {
    const FILES: usize = 60_000;
    let world = with(paused(60_000)).await;
    let told = [
        Command::Resume(Targets::All),
        Command::Skip(Targets::All),
        Command::Move(Targets::Ids(vec![7]), Place::Top),
    ];
    let mut told = future::join_all(told.map(|command| world.tell(command)));
    let mut amid = [false; 2];
    let outcomes = loop {
        if let Some(outcomes) = (&mut told).now_or_never() {
            break outcomes;
        }
        let window = tree(&world, &Filter::default()).await;
        let (held, gone) = (of(&window, State::Paused), of(&window, State::Skipped));
        amid[0] |= (1..FILES).contains(&held);
        amid[1] |= (1..FILES).contains(&gone);
        assert_eq!(window.total, FILES);
        // None of the files is there, so that any that was begun has failed.
        let begun = of(&window, State::Creating) + of(&window, State::Failed);
        assert_eq!(begun, 0, "begun before all was done");
    };
    drop(told);
    let words: Vec<&str> = outcomes.iter().map(|outcome| &*outcome.words).collect();
    assert_eq!(
        words,
        [
            "60,000 files resumed",
            "60,000 files left out",
            "1 file moved"
        ]
    );
    assert_eq!(amid, [true, true], "nobody was answered meanwhile");
    let window = tree(&world, &Filter::default()).await;
    assert_eq!(of(&window, State::Skipped), FILES);
    let rows = world.rows().await;
    assert_eq!(rows[0].id, 7);
    world.end().await;
}

#[tokio::test]
async fn what_was_told_of_very_many_files_is_done_before_an_end() {
    const FILES: u32 = 30_000;
    let world = with(paused(FILES)).await;
    let removed = world.tell(Command::Remove(Targets::All));
    let stopped = world.tell(Command::StopNow);
    let (removed, _) = future::join(removed, stopped).await;
    assert_eq!(removed.reached, FILES as usize);
    world.ended.await.unwrap();
    let summary = world.handle.summary().borrow().clone();
    assert_eq!(summary.counts.total(), 0);
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_a_folder_is_for_what_the_filter_shows_in_it_and_for_nothing_else() {
    let world = with(paused(300)).await;
    let all = Filter::default();
    let window = tree(&world, &all).await;
    let (one, two) = (folder(&window, "0001"), folder(&window, "0002"));
    let inside = Targets::Inside(one, all.clone());
    assert_eq!(world.tell(Command::Skip(inside)).await.reached, 100);
    let ends_in_7 = Filter {
        text: "7.mp4".into(),
        ..Filter::default()
    };
    let some = Targets::Inside(two, ends_in_7.clone());
    assert_eq!(world.tell(Command::Skip(some)).await.reached, 10);
    let window = tree(&world, &all).await;
    assert_eq!(of(&window, State::Skipped), 110);
    let filtered = tree(&world, &ends_in_7).await;
    assert_eq!(filtered.matching, 30);
    let rows = filtered.lines.iter().filter_map(|line| line.folder());
    let told: Vec<_> = rows
        .map(|row| (row.matching, row.totals.counts.of(State::Skipped)))
        .collect();
    assert_eq!(told, [(10, 0), (10, 100), (10, 10)]);

    // All of one folder but two files, and a file of another.
    let marked = Targets::Marked {
        inside: vec![(folder(&window, "0000"), all.clone())],
        except: vec![1, 2],
        ids: vec![201, 1],
    };
    let removed = world.tell(Command::Remove(marked)).await;
    assert_eq!(removed.words, "100 files taken out of the queue");
    let left = tree(&world, &all).await;
    assert_eq!(left.total, 200);
    let row = left.lines[0].folder().unwrap();
    assert_eq!(row.totals.counts.total(), 1);
    let unknown = Targets::Inside(9999, all);
    assert_eq!(world.tell(Command::Remove(unknown)).await.reached, 0);
    world.end().await;
}
