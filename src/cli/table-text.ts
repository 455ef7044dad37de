/** Rows as aligned columns: the first to the left, numbers after it to the right. */

const GAP = "  ";

/** @param rows the first one is the heading. Ends with a newline. */
export function tableText(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, Bun.stringWidth(cell));
    });
  }
  return rows
    .map((row) => {
      const cells = row.map((cell, column) => {
        const padding = " ".repeat((widths[column] ?? 0) - Bun.stringWidth(cell));
        return column === 0 ? cell + padding : padding + cell;
      });
      return `${cells.join(GAP).trimEnd()}\n`;
    })
    .join("");
}
