// Puts what an installation of leafd consists of into a directory: programs, bundles, and koffi with its library,
// which is the one package that is not in the bundles. `node scripts/stage.mjs DIR`, after the build.

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fail, root } from './provide.mjs';

/** Where koffi's libraries are, a package a platform. */
const LIBRARIES = 'node_modules/@koromix';

const out = process.argv[2];
if (out === undefined) fail('usage: node scripts/stage.mjs DIR');
if (!existsSync(join(root, 'dist', 'leafd.js'))) fail('there is no build: npm run build');
const libraries = readdirSync(join(root, LIBRARIES)).filter((name) => name.startsWith('koffi-linux-'));
if (libraries.length === 0) fail(`${LIBRARIES} has no library for Linux`);

const { name, version, license, type, engines } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
);
const parts = [
  'LICENSE',
  'bin',
  'dist',
  'node_modules/koffi',
  ...libraries.map((one) => join(LIBRARIES, one)),
];
mkdirSync(out, { recursive: true });
for (const part of parts)
  cpSync(join(root, part), join(out, part), { recursive: true, filter: (path) => !path.endsWith('.map') });
const manifest = { name, version, license, type, engines };
writeFileSync(join(out, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
