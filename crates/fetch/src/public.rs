//! What is told to whoever asked for a URL; the rest of an [`Error`](crate::Error) is for the log.

use errors::ErrorClass;

errors::error_table! {
    /// Why a URL gave no image, without what only an administrator may know.
    ///
    /// Every `url` is the one that was asked for, shortened, without user name, password and control characters.
    #[derive(Debug, Clone, PartialEq, Eq)]
    #[allow(missing_docs)]
    pub enum PublicError: ErrorClass {
        InvalidUrl { url: String, reason: String } => InvalidUrl {
            message: "\"{url}\" is not a URL: {reason}",
            hint: "Pass a URL that begins with http://, https:// or data:.",
        }
        Scheme { url: String, scheme: String } => InvalidUrl {
            message: "\"{url}\" has the scheme \"{scheme}\", which is not fetched",
            hint: "Pass a URL that begins with http://, https:// or data:.",
        }
        RedirectToNoUrl { url: String } => InvalidUrl {
            message: "\"{url}\" redirects to where nothing is fetched from",
            hint: "Pass a URL that begins with http://, https:// or data:.",
        }
        /// Of the URL itself, which has an address in place of a name.
        NotPublic { address: String } => UrlNotAllowed {
            message: "{address}, which is not public",
            hint: "Only public addresses are fetched from; an administrator can list others in clip_search.url_allow.",
        }
        /// The same, whether there is such a name in the own network or not.
        Host { host: String } => UrlFailed {
            message: "host \"{host}\" cannot be resolved, or has an address that is not public",
            hint: "Only public addresses are fetched from; an administrator can list others in clip_search.url_allow.",
        }
        RedirectToHost { url: String } => UrlFailed {
            message: "\"{url}\" redirects to where nothing is fetched from",
            hint: "Only public addresses are fetched from; an administrator can list others in clip_search.url_allow.",
        }
        Port { url: String, port: u16 } => UrlNotAllowed {
            message: "\"{url}\" has the port {port}, which is not fetched from",
            hint: "An administrator can list ports in clip_search.url_ports, or one host's in clip_search.url_allow.",
        }
        RedirectToPort { url: String } => UrlNotAllowed {
            message: "\"{url}\" redirects to where nothing is fetched from",
            hint: "An administrator can list ports in clip_search.url_ports, or one host's in clip_search.url_allow.",
        }
        Connect { url: String } => UrlFailed {
            message: "could not connect to the host of \"{url}\"",
            hint: "The server log says what happened.",
        }
        ConnectTimeout { url: String } => UrlFailed {
            message: "could not connect to the host of \"{url}\"",
            hint: "Try again, or raise clip_search.url_timeout.",
        }
        Tls { url: String } => UrlFailed {
            message: "no secure connection to the host of \"{url}\"",
            hint: "The server log says what happened.",
        }
        Chain { url: String } => UrlFailed {
            message: "the host of \"{url}\" does not send its whole chain of certificates, or its authority is not trusted",
            hint: "The web server has to send its intermediate certificates; a private authority has to be trusted by the database server's system.",
        }
        Timeout { url: String, ms: u64 } => UrlFailed {
            message: "\"{url}\" was not fetched within {ms} ms",
            hint: "Try again, or raise clip_search.url_timeout.",
        }
        TooManyRedirects { url: String, max: u32 } => UrlFailed {
            message: "\"{url}\" redirects more than {max} times",
            hint: "Pass the URL that the image has now.",
        }
        Redirect { url: String } => UrlFailed {
            message: "\"{url}\" answered with a redirect that cannot be followed",
            docs: "Pass the URL that the image has now.",
        }
        /// With what the web server adds to its number.
        Status { url: String, status: String } => UrlFailed {
            message: "\"{url}\" answered {status}",
            docs: "The web server says why; open the URL in a browser.",
        }
        TooLarge { url: String, max: u64 } => LimitExceeded {
            message: "\"{url}\" is longer than {max} bytes",
            hint: "Raise clip_search.max_image_bytes if images may be so large.",
        }
        Interrupted { url: String } => UrlFailed {
            message: "the connection for \"{url}\" broke in the middle",
            docs: "Try again.",
        }
        Protocol { url: String } => UrlFailed {
            message: "\"{url}\" did not answer in HTTP",
            docs: "Check the scheme and port of the URL.",
        }
        Encoding { url: String } => UrlFailed {
            message: "\"{url}\" is encoded in a way that cannot be decoded",
            docs: "The body is damaged after its first bytes; open the URL in a browser.",
        }
        Empty { url: String } => UrlFailed {
            message: "\"{url}\" is empty",
            docs: "The web server answered with success and no bytes; open the URL in a browser.",
        }
        AllowList => InvalidSetting {
            message: "clip_search.url_allow has an entry that is not valid",
            hint: "The server log says what is wrong.",
        }
        Ports => InvalidSetting {
            message: "clip_search.url_ports has an entry that is not valid",
            hint: "The server log says what is wrong.",
        }
        Setup => InvalidSetting {
            message: "images cannot be fetched",
            hint: "The server log says what is wrong.",
        }
    }
}
