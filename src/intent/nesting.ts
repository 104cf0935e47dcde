// How deeply a text of YAML could be nested at most, judged without a parser: the parser is recursive and ends the
// whole process, not with an exception, when it runs out of stack. Flow collections cost a bracket each, block ones a
// column each. Brackets in quotes or comments count as well: a configuration has no use for hundreds of them.

const OPEN = new Set(['[', '{']);
const CLOSE = new Set([']', '}']);
/** Characters that indent, or open a block collection, before anything else on a line. */
const LEADING = new Set([' ', '\t', '-', '?', ':', '!', '&', '*']);

/** An upper bound of the depth; blank lines do not count. Walks the text once. */
export function nestingBound(text: string): number {
  let brackets = 0;
  let deepestBracket = 0;
  let deepestColumn = 0;
  let column = 0;
  let leading = true;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character === '\n' || character === '\r') {
      column = 0;
      leading = true;
      continue;
    }
    if (leading && !LEADING.has(character)) leading = false;
    if (leading) column++;
    else deepestColumn = Math.max(deepestColumn, column);
    if (leading && character !== ' ' && character !== '\t') deepestColumn = Math.max(deepestColumn, column);
    if (OPEN.has(character)) deepestBracket = Math.max(deepestBracket, ++brackets);
    else if (CLOSE.has(character) && brackets > 0) brackets--;
  }
  return Math.max(deepestBracket, deepestColumn);
}
