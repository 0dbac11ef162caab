package ai.edgekit.demo;

import ai.edgekit.demo.runtime.DelegateKind;

import java.util.ArrayList;
import java.util.List;

import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** A device report as the self-test's screen shows it. */
final class TestResult {
    /** What the self-test found about one delegate; times are in milliseconds. */
    static final class Row {
        final DelegateKind kind;
        final String status;
        final String detail;

        /** -1 where nodes were not counted. */
        final int delegatedNodes;
        final int totalNodes;

        /** NaN where it was not timed. */
        final double medianMs;

        private Row(JSONObject run) throws JSONException {
            kind = kind(run.getString("delegate"));
            status = run.getString("status");
            detail = run.getString("detail");
            JSONObject nodes = run.optJSONObject("nodes");
            delegatedNodes = nodes == null ? -1 : nodes.getInt("delegated");
            totalNodes = nodes == null ? -1 : nodes.getInt("total");
            JSONObject times = run.optJSONObject("inference_ms");
            medianMs = times == null ? Double.NaN : times.getDouble("p50");
        }

        boolean isCorrect() {
            return status.equals("ok");
        }
    }

    final List<Row> rows = new ArrayList<>();

    /** The fastest correct one, or null. */
    final DelegateKind chosen;

    final int cameraVectors;
    final int cameraWrong;

    /** The report's parts `live` and `sustained`, or null. */
    final JSONObject live;
    final JSONObject sustained;

    /** Reads a report that the app wrote. */
    TestResult(JSONObject report) throws JSONException {
        JSONArray runs = report.getJSONArray("runs");
        for (int i = 0; i < runs.length(); i++) {
            rows.add(new Row(runs.getJSONObject(i)));
        }
        chosen = report.isNull("chosen") ? null : kind(report.getString("chosen"));
        JSONObject camera = report.getJSONObject("camera");
        cameraVectors = camera.getInt("vectors");
        cameraWrong = camera.getJSONArray("wrong").length();
        live = report.optJSONObject("live");
        sustained = report.optJSONObject("sustained");
    }

    boolean isCorrect(DelegateKind kind) {
        for (Row row : rows) {
            if (row.kind == kind) {
                return row.isCorrect();
            }
        }
        return false;
    }

    int correct() {
        int count = 0;
        for (Row row : rows) {
            count += row.isCorrect() ? 1 : 0;
        }
        return count;
    }

    /** The delegate of that name in reports. */
    static DelegateKind kind(String id) throws JSONException {
        for (DelegateKind kind : DelegateKind.values()) {
            if (kind.id.equals(id)) {
                return kind;
            }
        }
        throw new JSONException("no delegate " + id);
    }
}
