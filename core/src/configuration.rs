//! The configuration compiled from its records: what every decision consults.
//!
//! It is loaded once per change, not per request: a node keeps the compiled form and loads it again when the revision
//! of [`IndexKey::Configuration`] differs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::facts::ResolverRef;
use crate::policy::PolicySet;
use crate::policy::zone::Zone;
use crate::record::{IndexKey, Key, RealmV1, Record, ResolverV1};
use crate::settings::Settings;
use crate::txn::Revision;
use crate::user::{RealmName, ResolverName, ResolverSpec};
use crate::view::StateRead;

/// Settings, realms, resolvers and policies at one revision.
#[derive(Debug, Default)]
pub struct Configuration {
    /// The revision of [`IndexKey::Configuration`] this was loaded at.
    pub revision: Revision,
    /// The system configuration.
    pub settings: Settings,
    /// All realms.
    pub realms: BTreeMap<RealmName, Arc<RealmV1>>,
    /// All resolvers.
    pub resolvers: BTreeMap<ResolverName, Arc<ResolverV1>>,
    /// The resolvers by the specifications realms and owners name them with, ready to be asked.
    pub sources: BTreeMap<ResolverSpec, ResolverRef>,
    /// All policies, compiled.
    pub policies: PolicySet,
    /// The time zone of their time columns.
    pub zone: Zone,
}

impl Configuration {
    /// Compiles the configuration of a state.
    #[must_use]
    pub fn load(state: &dyn StateRead) -> Self {
        let (revision, members) = state.index(&IndexKey::Configuration);
        let mut configuration = Self { revision, ..Self::default() };
        let mut policies = Vec::new();
        for key in &members {
            let Some(slot) = state.record(key) else { continue };
            match (key, slot.record) {
                (Key::Policy(name), Record::Policy(policy)) => policies.push((name.clone(), policy)),
                (key, record) => configuration.add(key, record),
            }
        }
        configuration.policies = PolicySet::compile(policies);
        configuration.zone = configuration.settings.policy_time_zone();
        configuration
    }

    fn add(&mut self, key: &Key, record: Record) {
        match (key, record) {
            (Key::Realm(name), Record::Realm(realm)) => {
                self.realms.insert(name.clone(), realm);
            }
            (Key::Resolver(name), Record::Resolver(resolver)) => {
                let spec = crate::decide::resolver::spec(resolver.kind, name.as_str());
                self.sources.insert(spec.clone(), ResolverRef { spec, definition: resolver.clone() });
                self.resolvers.insert(name.clone(), resolver);
            }
            (Key::Setting(name), Record::Setting(setting)) => self.settings.insert(name.clone(), setting),
            _ => {}
        }
    }
}
