// Flags and type codes of path attributes (RFC 4271 section 4.3, IANA "BGP Path Attributes"), apart from the table
// that says what each holds, so that the files the table is made of can name them.

export const OPTIONAL = 0x80;
export const TRANSITIVE = 0x40;
export const PARTIAL = 0x20;
export const EXTENDED_LENGTH = 0x10;

export const ORIGIN = 1;
export const AS_PATH = 2;
export const NEXT_HOP = 3;
export const MED = 4;
export const LOCAL_PREF = 5;
export const ATOMIC_AGGREGATE = 6;
export const AGGREGATOR = 7;
export const COMMUNITIES = 8;
export const ORIGINATOR_ID = 9;
export const CLUSTER_LIST = 10;
export const MP_REACH = 14;
export const MP_UNREACH = 15;
export const EXT_COMMUNITIES = 16;
export const AS4_PATH = 17;
export const AS4_AGGREGATOR = 18;
export const PMSI_TUNNEL = 22;
export const TUNNEL_ENCAPSULATION = 23;
export const IPV6_EXT_COMMUNITIES = 25;
export const AIGP = 26;
export const LARGE_COMMUNITIES = 32;
export const OTC = 35;
export const PREFIX_SID = 40;
export const ATTR_SET = 128;
