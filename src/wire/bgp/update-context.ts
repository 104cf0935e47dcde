// What an UPDATE's reading depends on: how the session was negotiated and who the peer is. Built once a session
// by whoever owns it, and only read here.

export interface UpdateContext {
  /** Both sides speak 4-octet AS numbers (RFC 6793). */
  readonly asn4: boolean;
  /** The peer is in our own AS. */
  readonly internal: boolean;
  /** The peer is in our confederation (RFC 5065), in our member AS or in another: its paths may say so. */
  readonly confederation?: boolean;
  /** Negotiated families, a mask by family id; NLRI of others is passed over. */
  readonly families: number;
  /** Families in which the peer sends path identifiers (RFC 7911), a mask by family id. */
  readonly addPath: number;
  /** The ASN that must stand leftmost in AS_PATH (RFC 4271 section 6.3), or 0 for no such check. */
  readonly firstAsn?: number;
}
