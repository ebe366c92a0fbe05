# Medians of a table that has names in its first line and one round in each other line.
# -v get="time A", "ratio A B" (A/B within each round) or "added A B" (A-B within each round)
BEGIN { FS = "\t"; split(get, want, " ") }
NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
{
    a = $(column[want[2]]); b = want[3] ? $(column[want[3]]) : 0
    if (want[1] == "ratio") x = b ? a / b : 0
    else if (want[1] == "added") x = a - b
    else x = a
    # Kept in order as it comes: rounds are few.
    for (i = ++n; i > 1 && sorted[i - 1] > x; i--) sorted[i] = sorted[i - 1]
    sorted[i] = x
}
END {
    if (!n || !(want[2] in column) || (want[3] && !(want[3] in column))) exit 1
    printf "%.2f\n", n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}
