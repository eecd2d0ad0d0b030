//! The closed vocabularies: one enum each, shared by status, events, CLI and metric labels (API.md sections 2 and 3).
//!
//! The order of [`DetectionType`] is the order of diagnosis: the first that holds is the one shown.

use serde::{Deserialize, Serialize};

/// Declares a closed enum whose variants are their own wire names.
macro_rules! closed {
    ($(#[$m:meta])* $name:ident { $($(#[$vm:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum $name { $($(#[$vm])* $variant),+ }

        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }

            /// Reads a name; `None` for one this version doesn't know.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

closed! {
    /// When a run counts as stuck. Declared in the order of diagnosis.
    DetectionType {
        DeletionBlocked, NotPickedUp, StoppingTooLong, LockWedged, TaskResultLost, Pending, Suspended,
        NodeRunningTooLong, NoProgress, RunningTooLong,
    }
}

closed! {
    /// Why a run counts as stuck.
    Reason {
        Finalizer,
        NoController, Unreconciled,
        ShutdownIgnoredWhileSuspended, ExitHandlerRunning, PodsRemain, LockWait,
        HolderGone, HolderFinished,
        ResultIncomplete,
        WaitingForLock, ParallelismLimit, QuotaExceeded, ImagePull, Unschedulable, ContainerConfig, PodPending,
        AwaitingResume, SuspendedBySpec, AutoResumeOverdue,
        NodeOverAge,
        NoNodeChange,
        OverAge,
        /// StoppingTooLong and Pending: none of the named causes fits.
        Unexplained,
    }
}

closed! {
    /// Why nothing can be said about a run. Unknown never leads to an action.
    UnknownReason { ControllerDown, NodesOffloaded, NodesUndecodable, WatchStale, ClockSkew }
}

closed! {
    /// How an incident closed.
    CloseReason { Recovered, Ended, TargetGone }
}

closed! {
    /// Reasons of the Kubernetes Events unstick publishes in this version.
    EventReason {
        WorkflowStuck, WorkflowRecovered,
        Archived, ArchiveFailed, DeletionScheduled, Deleted, DeleteBlocked, TtlTooShort,
    }
}

closed! {
    /// The mode of one section of a policy (DESIGN.md section 2).
    #[derive(Default)]
    Mode {
        /// Detects, measures, tells, opens incidents.
        #[default]
        Observe,
        /// Also walks every gate and step and records `Simulated`.
        DryRun,
        /// Acts.
        Enforce,
    }
}

closed! {
    /// What a rung of the ladder does.
    StepType { Notify, Stop, Terminate }
}

closed! {
    /// Outcomes of attempts.
    Outcome {
        Recovered, NoEffect, TransientFailure, PermanentFailure, Ambiguous, Superseded, Cancelled, Simulated,
    }
}

closed! {
    /// Types of the conditions on policies, incidents and the Watchdog.
    ConditionType {
        Ready, Reconciling, Stalled,
        /// Policies: a section is accepted but this version doesn't act on it.
        NotInForce,
        /// Policies: Argo itself deletes runs sooner than their archive can be expected.
        TtlTooShort,
        /// Incidents: the state has lasted beyond its threshold.
        Confirmed,
        /// Incidents: the first closed gate.
        Blocked,
        /// Incidents: the ladder has ended without effect.
        Exhausted,
        /// Incidents: reason is a [`CloseReason`].
        Closed,
    }
}

closed! {
    /// Reasons of the conditions Ready, Reconciling, Stalled, NotInForce and TtlTooShort of policies and the Watchdog, and of Confirmed on incidents.
    ConditionReason {
        /// In force.
        Active,
        /// Another policy governs every matching workflow, or nothing matches.
        NoMatch,
        /// A field has a value that this version can't serve; the message names it.
        InvalidSpec,
        /// An enum value from a newer version.
        UnknownValue,
        /// Enforce is asked for while the installed CRD lacks fields this version knows.
        OutdatedCrd,
        /// The section is part of the schema, this version doesn't act on it.
        NotImplemented,
        /// More is asked for than the Watchdog's tenantMaxima allow.
        BeyondMaxima,
        /// A pause is active.
        Paused,
        /// The first list has not ended yet.
        Syncing,
        /// Nothing left to do.
        Settled,
        /// An error on the way; the message says which.
        Failing,
        /// The threshold has passed.
        ThresholdPassed,
        /// The state is there, its threshold is not reached yet.
        BelowThreshold,
        /// TtlTooShort: by the `ttlStrategy` of runs, of their template or of the controller's defaults.
        WorkflowTtl,
        /// TtlTooShort: by the history limits of a CronWorkflow.
        HistoryLimit,
        /// TtlTooShort: by the `retentionPolicy` of the controller.
        RetentionPolicy,
    }
}

closed! {
    /// Why a finished run is not archived or not deleted now.
    KeepReason {
        /// `unstick.dev/hold` on the run or its namespace.
        Hold,
        /// A pause of the policy or of the Watchdog object.
        Paused,
        /// Argo's own archive is not done with it.
        ArgoArchivePending,
        /// Argo would delete its artifacts with it, and the policy says Block.
        ArtifactsWouldGo,
        /// The nodes are in Argo's database: the archive would be hollow.
        Offloaded,
        /// It can't be put into an archive; the message says why.
        NotArchivable,
        /// It is being archived, or waits for it.
        NotArchived,
        /// The archive is missing or doesn't match the run.
        NotVerified,
        /// Storing it failed; it is tried again.
        ArchiveFailed,
        /// The location is not Ready, ReadOnly or not there.
        LocationNotReady,
        /// The location doesn't admit the namespace.
        LocationNotAllowed,
        /// `maxDeletes` is used up.
        BudgetExceeded,
        /// It changed while it was about to be deleted.
        Changed,
        /// The API server refused to delete it.
        Refused,
        /// The clock here and the API server's differ too much, or the watch is stale.
        Blind,
    }
}

closed! {
    /// Why an ArchiveLocation is Ready or not.
    LocationReason {
        /// The probe succeeded.
        Probed,
        /// The probe has not ended yet.
        Probing,
        /// A field has a value that can't be served, or what it refers to is missing.
        InvalidSpec,
        NoCredentials, BadCredentials, ExpiredCredentials, AccessDenied, NoSuchBucket,
        /// The path is a folder, but not the volume that archives are stored on.
        NotMounted,
        WrongRegion, ClockSkew, TlsFailed,
        Unreachable, Timeout, Throttled, ServerError, StorageClassUnreadable, DiskFull, ReadOnly,
        /// What was read back is not what was stored.
        Corrupt,
        TooLarge, Unsupported, Invalid, StoreFailed,
        /// The location points elsewhere than what it was opened as.
        LocationChanged,
        /// Something else is stored under the key.
        Collision,
        ReadBackDiffers, NotReadableYet,
    }
}

closed! {
    /// How a suspension ended.
    SuspensionEnd { Resumed, Failed, TimedOut, Stopped, ByUs }
}

closed! {
    /// Health of one Argo controller instance.
    ArgoState { Up, Down, Unknown }
}

closed! {
    /// What ended a workflow.
    EndedBy { Own, Deadline, Stopped, Terminated, Watchdog }
}

pub(crate) use closed;

impl DetectionType {
    /// The reasons this type can give, in the order of the contract.
    pub const fn reasons(self) -> &'static [Reason] {
        use Reason as R;
        match self {
            Self::DeletionBlocked => &[R::Finalizer],
            Self::NotPickedUp => &[R::NoController, R::Unreconciled],
            Self::StoppingTooLong => {
                &[R::ShutdownIgnoredWhileSuspended, R::ExitHandlerRunning, R::PodsRemain, R::LockWait, R::Unexplained]
            }
            Self::LockWedged => &[R::HolderGone, R::HolderFinished],
            Self::TaskResultLost => &[R::ResultIncomplete],
            Self::Pending => &[
                R::WaitingForLock,
                R::ParallelismLimit,
                R::QuotaExceeded,
                R::ImagePull,
                R::Unschedulable,
                R::ContainerConfig,
                R::PodPending,
                R::Unexplained,
            ],
            Self::Suspended => &[R::AwaitingResume, R::SuspendedBySpec, R::AutoResumeOverdue],
            Self::NodeRunningTooLong => &[R::NodeOverAge],
            Self::NoProgress => &[R::NoNodeChange],
            Self::RunningTooLong => &[R::OverAge],
        }
    }

    /// Still judged while Argo's controller is down (API.md section 2).
    pub const fn holds_without_controller(self) -> bool {
        matches!(self, Self::Suspended | Self::RunningTooLong | Self::NodeRunningTooLong | Self::DeletionBlocked)
    }
}
