// The version of this program. package.json says the same, which a test keeps true; a file of our own because a
// bundle and a checkout find package.json in different places.

export const version = '0.1.0';
