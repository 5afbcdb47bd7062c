/** Makes untrusted text safe for a terminal. Pure. */

/** Escapes control characters, so that names and log lines cannot control the terminal. Tabs stay. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- the expression matches control characters
  return text.replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (char) => {
    const code = char.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}
