// Plain aligned columns, no boxes: grep, awk and eyes can all read them. Numbers stand right, text left; a column in
// which nothing stands is left out. Widths count characters on screen, not the bytes of colour.

export interface Column<Row> {
  title: string;
  of: (row: Row) => string;
  align?: 'right';
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
const colourCodes = /\x1b\[[0-9;]*m/g;

const widthOf = (text: string): number => text.replace(colourCodes, '').length;

/** The table with its heading; empty for no rows. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], indent = ''): string {
  if (rows.length === 0) return '';
  const texts = columns.map((column) => rows.map(column.of));
  const used = columns
    .map((column, index) => ({ column, texts: texts[index]! }))
    .filter((one) => one.texts.some(Boolean));
  const widths = used.map(({ column, texts }) => Math.max(widthOf(column.title), ...texts.map(widthOf)));
  const line = (cells: readonly string[]): string =>
    indent +
    cells
      .map((cell, index) => {
        const space = ' '.repeat(widths[index]! - widthOf(cell));
        return used[index]!.column.align === 'right' ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd();
  const lines = [line(used.map(({ column }) => column.title))];
  for (let row = 0; row < rows.length; row++) lines.push(line(used.map(({ texts }) => texts[row]!)));
  return `${lines.join('\n')}\n`;
}

/** A view whose texts hold no control characters: a peer's host name must not move the cursor. */
export function printable<View>(view: View): View {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
  const clean = (text: string): string => text.replace(/[\x00-\x1f\x7f-\x9f]/g, '?');
  const walk = (value: unknown): unknown => {
    if (typeof value === 'string') return clean(value);
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, walk(inner)]));
  };
  return walk(view) as View;
}

/** A time span as routers show it: `00:01:30`, `3d04h`, `5w2d`. */
export function age(seconds: number | undefined): string {
  if (seconds === undefined) return '';
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  const days = Math.floor(whole / 86_400);
  if (days >= 14) return `${Math.floor(days / 7)}w${days % 7}d`;
  if (days >= 1) return `${days}d${two(Math.floor(whole / 3600) % 24)}h`;
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

/** `name  value` lines for details; what is undefined is left out. */
export function details(
  pairs: readonly (readonly [name: string, value: string | number | undefined])[],
): string {
  const shown = pairs.filter(
    (pair): pair is [string, string | number] => pair[1] !== undefined && pair[1] !== '',
  );
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}
