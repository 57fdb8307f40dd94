"""How a report looks: light, dark and on paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #57606a; --ground: #ffffff; --line: #d0d7de;
  --mark: 9, 105, 218; --bad: #b42318; --good: #1a7f37;
  --unsure: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --quiet: #9198a1; --ground: #0d1117; --line: #3d444d;
  --mark: 88, 166, 255; --bad: #ff8a80; --good: #56d364;
  --unsure: #e3b341; } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 19px; margin: 36px 0 8px; }
h3 { font-size: 15px; margin: 24px 0 2px; }
.quiet { color: var(--quiet); margin: 2px 0 10px; } .said p { font-size: 17px; margin: 10px 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { border-bottom: 1px solid var(--line); padding: 5px 10px 5px 0; text-align: left; vertical-align: top; }
th { color: var(--quiet); font-weight: 600; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td { overflow-wrap: anywhere; } td:has(.text) { min-width: 20rem; }
td:has(.text) ~ td:not(.n, :last-child) { min-width: 8.5rem; } .where { white-space: nowrap; }
.matrix { overflow-x: auto; } .matrix table { width: auto; }
.matrix td { padding: 3px 4px 3px 0; overflow-wrap: normal; white-space: nowrap; }
.matrix td:first-child { max-width: 15rem; overflow: hidden; text-overflow: ellipsis; }
.matrix thead th { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 16rem; padding: 6px 0 0;
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; text-align: left; vertical-align: bottom; }
.matrix .cell { min-width: 1.6rem; padding: 0 3px; }
.text { overflow-wrap: anywhere; white-space: pre-wrap; } .bad { color: var(--bad); } .good { color: var(--good); }
.unsure { color: var(--unsure); }
.cell { display: block; padding: 0 6px; border-radius: 3px; background: rgba(var(--mark), calc(var(--share) * 0.55)); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; font-size: 13.5px; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; } code { font-size: 12.5px; }
@media print { :root { color-scheme: light; --ink: #000; --quiet: #444; --ground: #fff; --line: #bbb; }
  main { max-width: none; padding: 0; } .wide, .matrix { overflow: visible; } tr, h2, h3 { break-inside: avoid; }
  h2, h3 { break-after: avoid; } .cell { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
"""
