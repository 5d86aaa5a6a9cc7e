//! What `volume snapshot` prints.

use crate::cli::{TableFormat, Ui, output};
use crate::commands::list::table::Table;
use crate::commands::volume::shown::SetShown;
use crate::error::{Error, Result};
use crate::volume::inventory::Snapshot;
use crate::volume::selection::Chosen;
use crate::volume::set;
use crate::volume::take::Made;

/// The volumes that would be snapshotted.
pub(super) fn volumes(chosen: &Chosen) -> String {
    let mut table = Table::new(&["DISK", "VOLUME", "ZONE", "TYPE", "SIZE", "STATE", "INSTANCE"], true);
    for one in &chosen.volumes {
        let volume = &one.volume;
        let instance = volume.attachments.first().map(|it| it.instance.clone()).unwrap_or_default();
        table.row(vec![
            one.disk.to_string(),
            volume.id.clone(),
            volume.zone.clone(),
            volume.kind.clone(),
            format!("{}Gi", volume.size),
            volume.state.clone(),
            instance,
        ]);
    }
    table.render()
}

/// The set in the format that was asked for, or nothing.
pub(super) fn document(
    format: Option<TableFormat>,
    id: &str,
    found: &[Snapshot],
    made: &[Made],
    ui: &Ui,
) -> Result<()> {
    let Some(format) = format else { return Ok(()) };
    if format == TableFormat::Name {
        let ids: Vec<&str> = made.iter().map(|one| one.id.as_str()).collect();
        return ui.data(ids.join("\n"));
    }
    let set = set::of(found).into_iter().find(|set| set.id == id);
    let set = set.ok_or_else(|| {
        Error::general(format!("EC2 does not list the snapshots of set {id} yet"))
            .hint("kubectl etcdbackup volume list")
    })?;
    let shown = SetShown::of(&set);
    match format {
        TableFormat::Json => ui.document(output::to_json(&shown)?),
        TableFormat::Yaml => ui.document(output::to_yaml(&shown)?),
        TableFormat::Wide | TableFormat::Name => ui.data(wide(&shown)),
    }
}

fn wide(set: &SetShown) -> String {
    let mut table = Table::new(&["SNAPSHOT", "SET", "ETCD", "MEMBER", "VOLUME", "ZONE", "STATE", "STARTED"], true);
    for it in &set.snapshots {
        let started = it.started.map(|started| started.to_string()).unwrap_or_default();
        table.row(vec![
            it.id.clone(),
            set.set.clone(),
            it.etcd.clone(),
            it.member.clone(),
            it.volume.clone(),
            it.availability_zone.clone().unwrap_or_default(),
            it.state.clone(),
            started,
        ]);
    }
    table.render()
}
