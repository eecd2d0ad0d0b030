//! What came by: one entry per call, in the order of arrival over all proxies of a script.

use jiff::Timestamp;

/// How far a call has come. A hold stops it at one of the last three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Its head is here.
    Arrived,
    /// It is here whole and the server knows nothing of it.
    BeforeForward,
    /// The server has answered; the client knows nothing of it.
    Committed,
    /// The client has been sent the last byte of the reply. A hold here also stops whatever is sent next, by any proxy of
    /// the script.
    AfterReply,
}

impl Phase {
    /// Where a program can be killed along a call.
    pub const KILLS: [Self; 3] = [Self::BeforeForward, Self::Committed, Self::AfterReply];
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// 0, 1, 2... since the start of the script.
    pub order: usize,
    /// Name of the proxy it came in by.
    pub proxy: String,
    /// The client's port: which of several programs it is from, see [`crate::Operator::has_port`].
    pub peer: u16,
    pub method: String,
    /// Decoded, without the query: `/bucket/key`.
    pub path: String,
    pub query: String,
    /// Names of its headers, lower case.
    pub headers: Vec<String>,
    pub at: Timestamp,
    /// Known once it is here whole.
    pub request_bytes: usize,
    /// What the server answered; `None` when it was never asked.
    pub server_status: Option<u16>,
    /// What the client was answered; `None` when nothing.
    pub status: Option<u16>,
    /// The fault that struck it.
    pub fault: Option<String>,
    /// The furthest it came.
    pub phase: Phase,
}

impl Call {
    /// `s3 PUT /b/key`: where in the program it comes from, names apart.
    pub fn site(&self) -> String {
        format!("{} {} {}", self.proxy, self.method, self.path)
    }

    /// For messages.
    pub fn line(&self) -> String {
        let question = if self.query.is_empty() { "" } else { "?" };
        let code = self.status.map_or_else(|| "-".to_owned(), |s| s.to_string());
        let fault = self.fault.as_ref().map_or_else(String::new, |f| format!(" [{f}]"));
        let at = self.at.strftime("%T%.3f");
        format!("{:3} {at} {}{question}{} -> {code} {:?}{fault}", self.order, self.site(), self.query, self.phase)
    }
}
